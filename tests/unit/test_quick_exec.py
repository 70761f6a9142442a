# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the quick exec of podman does not know it hands to the engine as it is, which here writes down what it got."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXEC = Path(__file__).resolve().parents[2] / "scripts" / "quick" / "exec.py"


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "--user", "root", "web", "true"),
        ("exec", "-i", "--user", "root", "web", "true"),
        ("exec", "-i", "-t", "web", "sh"),
        ("exec", "web"),
        ("ps", "--all"),
    ],
)
def test_an_option_is_no_name_of_a_container(tmp_path: Path, words: tuple[str, ...]) -> None:
    engine, calls = tmp_path / "podman", tmp_path / "calls"
    engine.write_text(f"#!/bin/sh\necho \"$*\" >>'{calls}'\n")
    engine.chmod(0o755)
    environment = {"PODMAN": str(engine), "PODMAN_STATE": str(tmp_path)}
    subprocess.run([sys.executable, "-I", "-S", EXEC, *words], check=True, env=environment)
    assert calls.read_text().splitlines() == [" ".join(words)]

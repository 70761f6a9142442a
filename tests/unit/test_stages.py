# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages all run, side by side where they may, and what each prints stays together."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stages

# In place of make: `meets-X` ends when X has begun too, so only side by side with it; `waits` ends when it is ended.
MAKE = """#!/bin/sh
cd "$(dirname "$0")"
echo "$2 says one"
touch "$2"
case $2 in
    bad) echo "oh no"; exit 3 ;;
    meets-*) until [ -e "${2#meets-}" ]; do :; done ;;
    waits) exec sleep 600 ;;
esac
echo "$2 says two"
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "make"
    path.write_text(MAKE)
    path.chmod(0o755)
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(stages, "MAKE", str(path))
    return path


def last_line(printed: str) -> str:
    return re.sub(r" in \d+ s$", "", printed.splitlines()[-1])


@pytest.mark.usefixtures("make")
def test_all_run_when_one_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert stages.main(["first bad last", "other"]) == 1
    printed = capfd.readouterr().out
    assert last_line(printed) == "FAILED: bad (passed: first last other)"
    assert "oh no\n=== bad FAILED" in printed


@pytest.mark.usefixtures("make")
def test_lanes_run_side_by_side_and_print_in_one_piece(capfd: pytest.CaptureFixture[str]) -> None:
    assert stages.main(["meets-other last", "other"]) == 0
    printed = capfd.readouterr().out
    assert "=== meets-other\nmeets-other says one\nmeets-other says two\n=== meets-other passed" in printed
    assert last_line(printed) == "PASSED: meets-other last other"


def test_stages_end_with_the_script(make: Path) -> None:
    script = """
import pathlib, stages, sys
stages.ROOT = stages.LOGS = pathlib.Path(sys.argv[1])
stages.MAKE = sys.argv[2]
sys.exit(stages.main(["waits never"]))
"""
    command = [sys.executable, "-c", script, str(make.parent), str(make)]
    with subprocess.Popen(command, cwd=Path(stages.__file__).parent, stdout=subprocess.DEVNULL) as process:
        while not (make.parent / "waits").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (make.parent / "never").exists()

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every step of a Molecule scenario does something: Molecule takes a `verify` without tests for a success."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SCENARIOS = sorted(Path(__file__).parents[2].glob("molecule/*/molecule.yml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.parent.name)
def test_every_step_names_what_is_there(path: Path) -> None:
    for step in yaml.safe_load(path.read_text())["scenario"]["test_sequence"]:
        action, *arguments = step.split()
        for argument in arguments:
            where = path.parent / argument
            assert list(where.glob("test_*.py")) if action == "verify" else where.is_file(), step

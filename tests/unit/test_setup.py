# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter that cannot make the environment is refused by name, before anything is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "scripts" / "setup"
WHAT_IS_RIGHT = "Python 3.10 or newer with PYTHON=/path/to/python3."
# Stand in for interpreters that this machine may not have.
SHIM = 'printf "pyenv: python3.9: command not found\\n\\nThe command exists in others" >&2; exit 127'
SILENT = "exit 3"
OLD = 'case $2 in *version_info*) exit 1;; esac; echo "Python 3.9.18"'
WITHOUT_VENV = "case $2 in *venv*) exit 1;; esac"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    return tmp_path


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (None, "{python} not found: install Python 3.10 or newer, or name one with PYTHON=/path/to/python3."),
        (SHIM, "{python} does not run: name {right}. It says: pyenv: python3.9: command not found\n\nThe"),
        (SILENT, "{python} does not run: name {right}. It says: exit code 3\n"),
        (OLD, "Python 3.9.18 is too old: name Python 3.10 or newer with PYTHON=/path/to/python3."),
        (WITHOUT_VENV, "{python} cannot make virtual environments: install its package (apt-get install python3-venv)"),
    ],
)
def test_an_interpreter_that_cannot_do_it(checkout: Path, program: str | None, message: str) -> None:
    python = checkout / "python3"
    if program is not None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    done = set_up(checkout, str(python))
    assert (done.returncode, done.stdout) == (1, "")
    assert message.format(python=python, right=WHAT_IS_RIGHT.removesuffix(".")) in done.stderr
    assert "line " not in done.stderr
    assert not (checkout / ".venv").exists()


def test_one_that_is_not_executable(checkout: Path) -> None:
    python = checkout / "python3"
    python.write_text("#!/bin/sh\n")
    done = set_up(checkout, str(python))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{python} is not executable: name {WHAT_IS_RIGHT}" in done.stderr


def test_one_that_is_no_program(checkout: Path) -> None:
    done = set_up(checkout, str(checkout))
    assert done.returncode == 1
    assert f"{checkout} does not run: name" in done.stderr
    assert WHAT_IS_RIGHT in done.stderr


def test_one_that_can_goes_on(checkout: Path) -> None:
    """To what comes next, which this checkout lacks."""
    done = set_up(checkout, sys.executable)
    assert "check_owner" in done.stderr
    assert "error:" not in done.stderr


def set_up(checkout: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts" / "setup", "requirements/demo.txt"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": python},
    )

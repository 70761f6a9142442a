# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interpreters that this machine has, and virtual environments made with them: for the version matrix and for tests."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Python compiles what it imports, which is a small part of what is installed.
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")


class EnvironmentFailedError(Exception):
    """An environment cannot be made; the last thing that was said about it."""


def find_python(versions: Iterable[str]) -> Path | None:
    """An interpreter of the first of these versions that PATH or pyenv has. One that does not start is none."""
    for version in versions:
        pyenv = subprocess.run([ROOT / "scripts/pyenv_bins", version], check=True, capture_output=True, text=True)
        for directory in [*os.environ["PATH"].split(os.pathsep), *pyenv.stdout.split()]:
            python = Path(directory, f"python{version}")
            if os.access(python, os.X_OK) and starts(python):
                return python
    return None


def starts(python: Path) -> bool:
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def make_environment(directory: Path, python: Path, requirements: Path | None = None) -> Path:
    """The interpreter of an environment with these requirements, which is kept until they change.

    Tests that run side by side may want the same one: the first makes it, the others wait.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _make_environment(directory, python, requirements)


def _make_environment(directory: Path, python: Path, requirements: Path | None) -> Path:
    version = subprocess.run([python, "-VV"], check=True, capture_output=True, text=True).stdout
    wanted = f"{directory}\n{version}{read_requirements(requirements) if requirements else ''}"
    stamp, own = directory / "made-for", directory / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        run([python, "-m", "venv", "--clear", directory])
        if version.startswith("Python 3.6."):
            run([own, *PIP, "pip==21.3.1"])  # its own cannot read pycurl's sources
        if requirements:
            run([own, *PIP, "--requirement", requirements])
        stamp.write_text(wanted)
    return own


def read_requirements(path: Path) -> str:
    """A file of requirements, with those that it includes in their place."""
    text = path.read_text()
    return re.sub(r"^-r (\S+)", lambda include: read_requirements(path.parent / include[1]), text, flags=re.MULTILINE)


def run(command: Iterable[str | Path]) -> None:
    done = subprocess.run([*command], check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise EnvironmentFailedError(f"{said[-1]} (exit code {done.returncode})")

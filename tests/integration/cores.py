# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments with each ansible-core that tests go through by themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import environments
import pytest

from .private_host import ROOT

PLACE = ROOT / "build" / "cores"
PYTHONS = {"2.16": ("3.11", "3.10", "3.12"), "2.19": ("3.11", "3.12", "3.13"), "2.21": ("3.13", "3.12")}
CORES = tuple(PYTHONS)


def python_with(core: str) -> Path:
    """An interpreter with this ansible-core; skips the test where there can be none."""
    if core == own_core():
        return Path(sys.executable)
    found = environments.find_python(PYTHONS[core])
    if found is None:
        pytest.skip(f"ansible-core {core} needs Python {' or '.join(PYTHONS[core])}: not on PATH, not in pyenv")
    try:
        return environments.make_environment(PLACE / core, found, ROOT / "requirements" / f"core-{core}.txt")
    except environments.EnvironmentFailedError as error:
        (pytest.fail if os.environ.get("TEST_EVERYTHING") else pytest.skip)(f"no ansible-core {core}: {error}")


def own_core() -> str:
    from ansible.release import __version__

    return ".".join(__version__.split(".")[:2])

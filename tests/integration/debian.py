# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of Debian's archive that a test runs without installing them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "build"


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """A directory with their files, downloaded once. Without them a test is skipped, or fails where all have to run."""
    directory = BUILD / name
    place = directory / "programs"
    if place.exists():
        return place
    directory.mkdir(parents=True, exist_ok=True)
    if not shutil.which("apt-get"):
        give_up(f"no apt-get to download {packages[0]} with")
    half = directory / f"half.{os.getpid()}"
    half.mkdir()
    command = ["apt-get", "--quiet=2", "download", *packages]
    done = subprocess.run(command, cwd=half, check=False, capture_output=True, text=True)
    if done.returncode:
        give_up(f"{packages[0]} cannot be downloaded: {done.stderr.strip()}")
    for package in half.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, half], check=True)
        package.unlink()
    with contextlib.suppress(OSError):  # another process was first
        half.rename(place)
    return place


def give_up(reason: str) -> None:
    (pytest.fail if os.environ.get("TEST_EVERYTHING") else pytest.skip)(reason)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups by their number, in trees of directories."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.cgroups import paths

LATER = time.monotonic() + 3600


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    top = tmp_path / "unified"
    (top / "machine.slice/libpod-1.scope/container").mkdir(parents=True)
    (top / "system.slice/cron.service").mkdir(parents=True)
    (top / "cgroup.controllers").touch()
    return top


def test_paths_are_those_within_the_hierarchy(version_2: Path) -> None:
    scope, cron = version_2 / "machine.slice/libpod-1.scope", version_2 / "system.slice/cron.service"
    wanted = {scope.stat().st_ino: "/machine.slice/libpod-1.scope", cron.stat().st_ino: "/system.slice/cron.service"}
    assert paths(set(wanted), LATER, ("/absent", str(version_2))) == wanted
    assert paths({scope.stat().st_ino, 1}, LATER, (str(version_2),)) == {
        scope.stat().st_ino: "/machine.slice/libpod-1.scope"
    }


def test_numbers_mean_nothing_in_version_1(version_2: Path) -> None:
    (version_2 / "cgroup.controllers").unlink()
    assert paths({(version_2 / "system.slice").stat().st_ino}, LATER, (str(version_2),)) == {}


def test_a_search_ends_with_the_last_one_or_in_time(version_2: Path) -> None:
    number = (version_2 / "system.slice").stat().st_ino
    assert paths({number}, time.monotonic(), (str(version_2),)) == {}
    assert paths({number}, LATER, (str(version_2),)) == {number: "/system.slice"}


def test_links_are_not_followed(version_2: Path) -> None:
    (version_2 / "again").symlink_to(version_2)
    assert paths({1}, LATER, (str(version_2),)) == {}

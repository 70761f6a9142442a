# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes have a socket open, by links as /proc has them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import programs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.programs import find_holders

LATER = time.monotonic() + 3600
HERE, ELSEWHERE = "net:[1]", "net:[2]"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    process(tmp_path, "self", HERE, [])
    process(tmp_path, "10", ELSEWHERE, ["socket:[7]", "/dev/null"])
    process(tmp_path, "20", HERE, ["pipe:[5]", "socket:[5]", "socket:[6]"])
    process(tmp_path, "30", HERE, ["socket:[6]"])
    return tmp_path


def process(proc: Path, pid: str, namespace: str, files: list[str]) -> None:
    (proc / pid / "ns").mkdir(parents=True)
    (proc / pid / "fd").mkdir()
    (proc / pid / "ns/net").symlink_to(namespace)
    for number, target in enumerate(files):
        (proc / pid / "fd" / str(number)).symlink_to(target)


def test_processes_that_have_them(proc: Path) -> None:
    assert find_holders({5, 6, 7, 8}, LATER, str(proc)) == {5: 20, 6: 20, 7: 10}
    assert find_holders(set(), LATER, "/absent") == {}


def test_a_search_ends_with_the_last_one_and_begins_in_this_namespace(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    target = programs._target

    def noted(path: str) -> str:
        read.append(path)
        return target(path)

    monkeypatch.setattr(programs, "_target", noted)
    assert find_holders({5, 6}, LATER, str(proc)) == {5: 20, 6: 20}
    assert {path.split("/")[-3] for path in read if "/fd/" in path} == {"20"}


def test_a_search_ends_in_time(proc: Path) -> None:
    assert find_holders({5}, time.monotonic(), str(proc)) == {}


def test_processes_that_end_or_are_somebody_elses_are_passed_over(proc: Path) -> None:
    (proc / "20/fd/0").unlink()
    (proc / "40").mkdir()
    assert find_holders({7}, LATER, str(proc)) == {7: 10}

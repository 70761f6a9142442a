# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose live sockets are, from what the kernel and /proc tell of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import SockDiagError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import cgroups
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.live import Key, Live
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.live_by import (
    MOST_NAMED,
    Search,
    Who,
    describe,
    find,
)

WEB: Key = (b"\x0a\0\0\1", b"\x0a\0\0\2", 80)
OTHER: Key = (b"\x0a\0\0\1", b"\x0a\0\0\3", 80)
CLIENTS = PortSet([(40000, 40099)])
PODMAN = "podman " + "4f" * 6
C = "4f" * 32


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process in a container that has the socket 5; the container's cgroup is number 77."""
    (tmp_path / "20/fd").mkdir(parents=True)
    (tmp_path / "20/fd/3").symlink_to("socket:[5]")
    (tmp_path / "20/comm").write_text("php-fpm\n")
    (tmp_path / "20/cgroup").write_text(f"0::/libpod_parent/libpod-{C}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def known_cgroup(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    asked: list[set[int]] = []

    def paths(numbers: set[int], _deadline: float) -> dict[int, str]:
        asked.append(numbers)
        return {77: f"/machine.slice/libpod-{C}.scope"} if 77 in numbers else {}

    monkeypatch.setattr(cgroups, "paths", paths)
    return asked


def test_process_then_cgroup_then_nothing(proc: Path) -> None:
    sockets = [
        Live(WEB, 40000, 77, 5),
        Live(WEB, 40001, 77, 6),
        Live(WEB, 40002, 99, 7),
        Live(WEB, 40003, None, 0),
        Live(WEB, 39999, 77, 5),  # not a port that connect() chooses
        Live(OTHER, 40000, 77, 0),
    ]
    found = find([WEB, OTHER, WEB], CLIENTS, Search(str(proc)), lambda _keys: sockets)
    by_cgroup = {"owner": PODMAN, "program": None, "pid": None, "processes": None, "live": 1}
    by_process = {"owner": PODMAN, "program": "php-fpm", "pid": 20, "processes": 1, "live": 1}
    assert found == {WEB: [by_cgroup, by_process], OTHER: [by_cgroup]}


def test_a_kernel_that_does_not_tell_is_absent_not_wrong(tmp_path: Path) -> None:
    assert find([WEB], CLIENTS, Search(str(tmp_path)), lambda _keys: [Live(WEB, 40000, None, 9)]) == {WEB: []}


@pytest.mark.parametrize("error", [SockDiagError("no"), OSError(1, "no")])
def test_a_kernel_that_refuses_costs_nothing_else(error: Exception) -> None:
    def refuse(_keys: Sequence[Key]) -> list[Live]:
        raise error

    assert find([WEB], CLIENTS, Search(), refuse) == {}


def test_nothing_is_read_where_nothing_is_wanted() -> None:
    def never(_keys: Sequence[Key]) -> list[Live]:
        raise AssertionError

    assert find([], CLIENTS, Search(), never) == {}


def test_a_cgroup_is_searched_for_once(proc: Path, known_cgroup: list[set[int]]) -> None:
    search = Search(str(proc))
    for _namespace in range(3):
        search.whose([Live(WEB, 40000, 77, 0), Live(WEB, 40001, 99, 0)])
    assert known_cgroup == [{77, 99}]


def test_without_time_no_process_is_searched(proc: Path) -> None:
    assert Search(str(proc), seconds=0).whose([Live(WEB, 40000, 77, 5)]) == [Who(PODMAN, None, None)]


def test_processes_of_a_program_are_one_and_the_most_come_first() -> None:
    each = [Who("podman web", "php-fpm", pid) for pid in (9, 8, 8, 7)]
    each += [Who("podman db", f"job{number}", number) for number in range(1, 9)] + [Who(None, None, None)] * 9
    first, *rest = describe(each)
    assert first == {"owner": "podman web", "program": "php-fpm", "pid": 8, "processes": 3, "live": 4}
    assert len(rest) == MOST_NAMED - 1
    assert [one["program"] for one in rest] == ["job1", "job2", "job3", "job4"]

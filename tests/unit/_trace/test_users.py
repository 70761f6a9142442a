# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events by user, within bounds; and whose a task is, by what /proc says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError, UnsupportedError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.owners import Files
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace import tracefs, users
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace.users import (
    Counts,
    Program,
    describe,
    find_program,
    observe_users,
)


def line(tid: int = 7, task: str = "curl", address: str = "192.0.2.1", port: int = 80, failed: bool = False) -> str:
    states = ("SYN_SENT", "CLOSE") if failed else ("CLOSE", "SYN_SENT")
    return (
        f"  {task}-{tid}  [000] ..... 1.5: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=0 "
        f"dport={port} saddr=0.0.0.0 daddr={address} saddrv6=::ffff:0.0.0.0 daddrv6=::ffff:{address} "
        f"oldstate=TCP_{states[0]} newstate=TCP_{states[1]}"
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Two threads of a process in a container, and one process of a unit."""
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    container = f"0::/machine.slice/libpod-{'ab' * 32}.scope\n"
    for namespace in (f"libpod-{'ab' * 32}.scope", "nginx.service"):
        (tmp_path / namespace).touch()
    for tid, pid, name, cgroup in (
        (7, 7, "java", container),
        (8, 7, "http-nio-8080-e", container),
        (9, 9, "nginx", "0::/system.slice/nginx.service\n"),
    ):
        (tmp_path / f"{tid}/ns").mkdir(parents=True)
        (tmp_path / f"{tid}/ns/net").symlink_to(tmp_path / cgroup.rstrip().rpartition("/")[2])
        (tmp_path / f"{tid}/comm").write_text(f"{name}\n")
        (tmp_path / f"{tid}/status").write_text(f"Name:\t{name}\nTgid:\t{pid}\nNgid:\t0\n")
        (tmp_path / f"{tid}/cgroup").write_text(cgroup)
    return tmp_path


def counted(proc: Path, *lines: str) -> Counts:
    counts = Counts()
    for one in lines:
        counts.take(one, str(proc))
    return counts


def test_threads_of_a_process_are_one_user(proc: Path) -> None:
    counts = counted(proc, line(7, "java"), line(8, "http-nio-8080-e"), line(8, "http-nio-8080-e", failed=True))
    result = describe(counts, 2.0, 10)
    assert result["users"] == [
        {
            "program": "java",
            "owner": f"podman {'ab' * 6}",
            "namespace": (proc / "7/ns/net").stat().st_ino,
            "pid": 7,
            "processes": 1,
            "address": "192.0.2.1",
            "port": 80,
            "connects": 2,
            "no_port": 1,
            "rate": 1.0,
        }
    ]
    assert (result["connects"], result["no_port"], result["lost"], result["complete"]) == (2, 1, 0, True)


def test_the_owner_is_asked_by_the_thread_and_the_name_by_the_process(proc: Path) -> None:
    found = find_program(8, "http-nio-8080-e", Files(list_names=lambda _path: []), str(proc))
    assert found == Program(7, "java", f"podman {'ab' * 6}", (proc / "8/ns/net").stat().st_ino)


def test_a_program_that_has_ended_is_named_by_the_kernel(proc: Path) -> None:
    assert find_program(4711, "curl", Files(), str(proc)) == Program(4711, "curl", None, None)


def test_numbers_of_another_pid_namespace_are_not_believed(proc: Path) -> None:
    (proc / "self/ns/pid").unlink()
    (proc / "self/ns/pid").symlink_to("pid:[4026532999]")
    assert find_program(9, "worker", Files(), str(proc)) == Program(9, "worker", None, None)


def test_processes_of_a_program_are_one_user_and_failing_ones_come_first(proc: Path) -> None:
    short_lived = [line(100 + number, "curl", port=443) for number in range(5)]
    busy = [line(9, "nginx") for _turn in range(20)]
    result = describe(counted(proc, *busy, *short_lived, line(9, "nginx", port=81, failed=True)), 1.0, 2)
    shown = [(user["program"], user["port"], user["processes"], user["connects"]) for user in result["users"]]
    assert shown == [("nginx", 81, 1, 0), ("nginx", 80, 1, 20)]
    assert result["users_found"] == 3
    assert describe(counted(proc, *short_lived), 1.0, 2)["users"][0]["processes"] == 5


def test_a_program_that_became_another_one_is_asked_again(proc: Path) -> None:
    counts = counted(proc, line(9, "bash"))
    (proc / "9/comm").write_text("curl\n")
    counts.take(line(9, "curl"), str(proc))
    assert {user["program"] for user in describe(counts, 1.0, 10)["users"]} == {"nginx", "curl"}


def test_only_the_namespaces_that_were_asked_for_count(proc: Path) -> None:
    counts = Counts([(proc / "9/ns/net").stat().st_ino])
    for one in (line(9), line(7, failed=True), line(4711, failed=True)):
        counts.take(one, str(proc))
    result = describe(counts, 1.0, 10)
    assert [user["program"] for user in result["users"]] == ["nginx"]
    assert (result["connects"], result["no_port"], result["complete"]) == (1, 0, True)


def test_what_was_lost_is_told(proc: Path) -> None:
    result = describe(counted(proc, line(9), "CPU:0 [LOST 40 EVENTS]"), 1.0, 10)
    assert (result["lost"], result["complete"]) == (40, False)


def test_memory_is_bounded(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_MAX_PAIRS", 10)
    counts = counted(proc, *(line(9, "nginx", port=port) for port in range(1, 31)))
    assert (len(counts.pairs), counts.lost, counts.connects) == (10, 20, 30)
    counts = counted(proc, *(line(1000 + number, "curl") for number in range(30)))
    assert (len(counts.pairs), counts.lost, counts.connects) == (10, 20, 30)


class _Pipe:
    def __init__(self, number: int) -> None:
        self.number, self.read = number, 0

    def __enter__(self) -> _Pipe:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def lines(self, _seconds: float) -> Any:
        for _turn in range(self.number):
            self.read += 1
            yield line()


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = _Pipe(1000)
    monkeypatch.setattr(users, "MAX_EVENTS", 100)
    monkeypatch.setattr(tracefs, "instance", lambda *_event: pipe)
    result = observe_users(300, 10, check_mode=False)
    assert (pipe.read, result["connects"], result["complete"]) == (100, 100, False)
    assert result["seconds"] < 300


def test_a_host_that_cannot_trace_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_event: str) -> Any:
        raise UnsupportedError("this kernel has no tracefs")

    monkeypatch.setattr(tracefs, "instance", refuse)
    result = observe_users(1, 10, check_mode=False)
    assert (result["traced"], result["why_not"], result["users"]) == (False, "this kernel has no tracefs", [])


@pytest.mark.parametrize("seconds", [0, -1, 301, float("nan"), float("inf")])
def test_seconds_have_bounds(seconds: float) -> None:
    with pytest.raises(OptionError, match=r"seconds \(timewait_diagnose_who\) must be more than 0 and at most 300"):
        observe_users(seconds, 10, check_mode=True)


@pytest.mark.parametrize("number", [0, 1001])
def test_users_have_bounds(number: int) -> None:
    with pytest.raises(OptionError, match="max_users must be between 1 and 1000"):
        observe_users(1, number, check_mode=True)

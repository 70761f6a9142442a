# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects, and whose connects find no local port, told by the real kernel."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import private_namespaces as namespaces
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace import tracefs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace.events import FILTER, GROUP, NAME
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace.users import Counts, describe, observe_users

from .inside import REFUSED, in_child
from .network import Network

PR_SET_NAME = 15
PROGRAM = "shop worker-1"
TO, CLOSED = ("198.18.0.1", 8080), ("198.18.0.1", 8081)
ID = os.urandom(32).hex()

Result = dict[str, Any]


def traced(test: Callable[..., None]) -> Callable[..., None]:
    """Decorate a test that traces: it runs in a child process, which may leave and mount what it likes."""

    @functools.wraps(test)
    def run(*arguments: object, **fixtures: object) -> None:
        def body() -> None:
            why_not = observe_users(0.01, 1, check_mode=False)["why_not"]
            if why_not:
                pytest.skip(f"not traced: {why_not}")
            test(*arguments, **fixtures)

        code, text = in_child(body)
        if code == REFUSED:
            pytest.skip(text)
        if code:
            pytest.fail(text or f"exit code {code}", pytrace=False)

    return run


@contextlib.contextmanager
def forked(function: Callable[[], object], end: int = signal.SIGTERM) -> Iterator[int]:
    """A process that does this, and is ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(60)
            function()
            code = 0
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, end)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@contextlib.contextmanager
def client(connects: int, name: str = PROGRAM, cgroup: Path | None = None) -> Iterator[int]:
    """A program that has connected so often, of which some were refused, and is still there."""
    reader, writer = os.pipe()

    def connect() -> None:
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())
        if cgroup:
            (cgroup / "cgroup.procs").write_text("0")
        kept = [socket.socket() for _turn in range(connects)]
        codes = [one.connect_ex(TO) for one in kept]
        codes += [socket.socket().connect_ex(CLOSED) for _turn in range(5)]
        assert codes.count(errno.ECONNREFUSED) == 5
        os.write(writer, b"x")
        signal.pause()

    with forked(connect, signal.SIGKILL) as pid:
        os.close(writer)
        assert os.read(reader, 1) == b"x"
        os.close(reader)
        yield pid


@contextlib.contextmanager
def container() -> Iterator[Path]:
    """A cgroup named as that of a container of podman."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if "cgroup2" in fields or "name=systemd" in fields[-1]:
            path = Path(fields[4], f"libpod-{ID}")
            try:
                path.mkdir()
            except OSError:
                continue
            try:
                yield path
            finally:
                path.rmdir()
            return
    pytest.skip("no cgroup can be made here")


def ours(result: Result, name: str = PROGRAM) -> list[Result]:
    return [one for one in result["users"] if one["program"] == name]


def waiting(top: str) -> list[str]:
    return [path.name for path in Path(top).glob("ephemeral_ports.*")]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_on(instance: Path) -> bool:
    with contextlib.suppress(OSError):
        return (instance / f"events/{GROUP}/{NAME}/enable").read_text().strip() == "1"
    return False


@contextlib.contextmanager
def running(top: str) -> Iterator[tuple[int, Path]]:
    """A run that traces for long: its process and instance."""
    before = set(waiting(top))
    with forked(lambda: observe_users(50, 10, check_mode=False)) as pid:
        mine: list[Path] = []

        def found() -> bool:
            mine[:] = [Path(top, name) for name in set(waiting(top)) - before if name.split(".")[1] == str(pid)]
            return bool(mine) and is_on(mine[0])

        wait_for(found)
        yield pid, mine[0]


@traced
def test_ten_failing_connects_of_110_are_ten_events() -> None:
    """Named by program, container, network namespace and destination; one that is refused has not failed for a port."""
    with Network(40000, 40099, TO[0], tcp_tw_reuse=0) as network, container() as cgroup:
        network.listen(*TO)
        with tracefs.instance(GROUP, NAME, FILTER) as pipe, client(110, cgroup=cgroup) as pid:
            counts = Counts()
            for line in pipe.lines(0):
                counts.take(line)
        exhausted, refused = ours(describe(counts, 2.0, 1000))
    assert exhausted == {
        "program": PROGRAM,
        "owner": f"podman {ID[:12]}",
        "namespace": Path("/proc/self/ns/net").stat().st_ino,
        "pid": pid,
        "processes": 1,
        "address": TO[0],
        "port": TO[1],
        "connects": 110,
        "no_port": 10,
        "rate": 55.0,
    }
    assert (refused["port"], refused["connects"], refused["no_port"]) == (CLOSED[1], 5, 0)
    assert counts.lost == 0


@traced
def test_ipv6() -> None:
    with Network(40000, 40099, "2001:db8::1") as network:
        network.listen("2001:db8::1", 8080)
        with tracefs.instance(GROUP, NAME, FILTER) as pipe:
            network.leave_established(("2001:db8::1", 8080), 103)
            counts = Counts()
            for line in pipe.lines(0):
                counts.take(line)
    (user,) = [one for one in describe(counts, 1.0, 1000)["users"] if one["address"] == "2001:db8::1"]
    assert (user["connects"], user["no_port"], user["pid"]) == (101, 1, os.getpid())


@traced
def test_runs_at_the_same_time_see_the_same_and_do_not_remove_each_other() -> None:
    top = f"{tracefs._find()}/instances"
    with Network(40000, 40099, TO[0], tcp_tw_reuse=0) as network, running(top) as (_pid, other):
        network.listen(*TO)
        with tracefs.instance(GROUP, NAME, FILTER) as pipe:
            assert is_on(other)
            with client(110):
                counts = Counts()
                for line in pipe.lines(0):
                    counts.take(line)
        assert is_on(other)
    assert ours(describe(counts, 1.0, 1000))[0]["no_port"] == 10


@traced
def test_the_instance_of_a_killed_run_is_off_and_the_next_removes_it() -> None:
    top = f"{tracefs._find()}/instances"
    with running(top) as (pid, instance):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert (instance / "tracing_on").read_text().strip() == "0"
        assert observe_users(0.01, 10, check_mode=False)["traced"]
        assert not instance.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@traced
def test_a_run_that_is_ended_leaves_nothing(number: int) -> None:
    top = f"{tracefs._find()}/instances"
    with running(top) as (pid, instance):
        os.kill(pid, number)
        os.waitpid(pid, 0)
        assert not instance.exists()


@traced
def test_an_error_leaves_nothing() -> None:
    top = f"{tracefs._find()}/instances"
    seen = []

    def fail() -> None:
        with tracefs.instance(GROUP, NAME, FILTER):
            seen.extend(one for one in waiting(top) if f".{os.getpid()}." in one)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (name,) = seen
    assert not Path(top, name).exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@traced
def test_a_kernel_without_the_tracepoint_is_told_and_nothing_stays() -> None:
    top = f"{tracefs._find()}/instances"
    with (
        pytest.raises(tracefs.UnsupportedError, match="no tracepoint sock:odd_state"),
        tracefs.instance(GROUP, "odd_state", FILTER),
    ):
        pass
    assert [name for name in waiting(top) if f".{os.getpid()}." in name] == []


@traced
def test_a_run_ends_in_time_and_counts_connects_while_they_come() -> None:
    with Network(40000, 40099, TO[0]) as network:
        network.listen(*TO)
        with forked(lambda: connect_for_ever(network), signal.SIGKILL):
            result = observe_users(0.5, 1000, check_mode=False)
    (user,) = ours(result, "for ever")
    assert result["traced"]
    assert result["seconds"] == 0.5
    assert user["connects"] > 0
    assert user["rate"] == round(user["connects"] / 0.5, 1)


def connect_for_ever(network: Network) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"for ever")
    while True:
        for one, peer in network.open(TO, 1):
            one.close()
            peer.close()


def test_without_privilege_one_sentence_says_so() -> None:
    def nobody() -> None:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        result = observe_users(0.01, 10, check_mode=False)
        assert result["why_not"] == "only root may trace (become: true)"
        assert (result["traced"], result["users"]) == (False, [])

    def root_of_a_user_namespace() -> None:
        uid = os.geteuid()
        namespaces.check(namespaces.libc.unshare(namespaces.CLONE_NEWUSER), "unshare")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        result = observe_users(0.01, 10, check_mode=False)
        assert result["why_not"] == "root may not trace here, as in a container or where the kernel is locked"

    for function in (nobody, root_of_a_user_namespace):
        code, text = in_child(function)
        assert code == 0, text


@traced
def test_check_mode_traces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "instance", None)
    result = observe_users(50, 10, check_mode=True)
    assert (result["traced"], result["why_not"]) == (False, "nothing is traced in check mode")

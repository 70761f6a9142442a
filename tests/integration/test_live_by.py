# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose live sockets are, told by the real kernel: containers by their cgroup, programs by their files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.inet_diag import SockDiag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.live_by import Search

from .inside import private
from .network import Network, observed

PR_SET_NAME = 15
ID = os.urandom(32).hex()
PODMAN = f"podman {ID[:12]}"
TO, TO6, QUIET = ("198.18.0.1", 8080), ("2001:db8::1", 8080), ("198.18.0.1", 8081)
TOLD_BY_KERNEL = tuple(map(int, os.uname().release.split(".")[:2])) >= (5, 8)


@contextlib.contextmanager
def container() -> Iterator[Path]:
    """A cgroup of version 2, named as that of a container of podman."""
    tops = [Path(f"/sys/fs/cgroup{below}") for below in ("/unified", "")]
    place = next((top for top in tops if (top / "cgroup.controllers").exists()), Path("/absent")) / f"libpod-{ID}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        yield place
    finally:
        place.rmdir()


@contextlib.contextmanager
def clients(cgroup: Path, connections: dict[tuple[str, int], int]) -> Iterator[int]:
    """A program in that cgroup with these connections."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)
            ctypes.CDLL(None).prctl(PR_SET_NAME, b"shop worker-1")
            (cgroup / "cgroup.procs").write_text("0")
            kept = [socket.create_connection(to) for to, number in connections.items() for _turn in range(number)]
            os.write(writer, b"x" * bool(kept))
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)


def live_by(usage: dict[str, Any]) -> dict[tuple[str, int], Any]:
    return {(pool["address"], pool["port"]): pool["live_by"] for pool in usage["pools"] if pool["kind"] == "connect"}


def one(live: int, pid: int | None, owner: str | None = PODMAN, program: str | None = "shop worker-1") -> Any:
    known = program if pid else None
    return {"owner": owner, "program": known, "pid": pid, "processes": 1 if pid else None, "live": live}


@private
def test_of_destinations_that_are_not_ok_the_container_and_the_program_are_told() -> None:
    with Network(40000, 40099, TO[0], TO6[0], tcp_tw_reuse=0) as network, container() as cgroup:
        for to in (TO, TO6, QUIET):
            network.listen(*to)
        network.leave_time_wait(TO, 20)
        with clients(cgroup, {TO: 30, TO6: 60, QUIET: 5}) as pid:
            network.leave_established(TO, 7)
            us = {"owner": None, "program": Path("/proc/self/comm").read_text().rstrip(), "pid": os.getpid()}
            found = live_by(observed())
            assert found[TO6] == [one(60, pid)]
            assert found[TO][0] == one(30, pid)
            assert {**found[TO][1], "owner": None} == {**us, "processes": 1, "live": 7}
            assert found[QUIET] is None
            assert live_by(observed(destination="198.18.0.1:8081"))[QUIET] == [one(5, pid)]
            assert set(live_by(observed(method="procfs")).values()) == {None}


@private
@pytest.mark.skipif(not TOLD_BY_KERNEL, reason="the kernel does not tell before Linux 5.8")
def test_without_time_for_processes_the_kernel_tells_the_container() -> None:
    with Network(40000, 40099, TO[0]) as network, container() as cgroup:
        network.listen(*TO)
        with clients(cgroup, {TO: 60}), pytest.MonkeyPatch.context() as patch:
            find = "ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.programs.find_holders"
            patch.setattr(find, lambda *_arguments: {})
            assert live_by(observed(privileged=False))[TO] == [one(60, None)]


@private
def test_who_holds_a_source_that_bind_chose() -> None:
    """Services on other ports do not count to it."""
    with Network(40000, 40099, TO[0]) as network:
        network.leave_established(TO, 60, (TO[0], 0), "bind")
        found = [pool for pool in observed()["pools"] if pool["kind"] == "bind"]
    assert [(pool["live"], [who["live"] for who in pool["live_by"]]) for pool in found] == [(60, [60])]


@private
def test_a_host_that_is_well_is_asked_nothing_more() -> None:
    """One more dump, of what the kernel picks out, is for destinations that are not ok alone."""
    picked: list[bool] = []
    dump = SockDiag.dump

    def counted(self: SockDiag, states: int, bytecode: bytes = b"") -> Any:
        picked.append(bool(bytecode))
        return dump(self, states, bytecode)

    with Network(40000, 40099, TO[0], tcp_tw_reuse=0) as network, pytest.MonkeyPatch.context() as patch:
        patch.setattr(SockDiag, "dump", counted)
        network.leave_time_wait(TO, 20)
        network.leave_established(TO, 5)
        with pytest.MonkeyPatch.context() as well:
            well.setattr(Search, "whose", None)
            assert [observed(detail=detail)["level"] for detail in ("full", "auto")] == ["ok", "ok"]
            assert not any(picked)
        network.leave_time_wait(QUIET, 50)
        network.leave_time_wait(TO, 40)
        assert observed()["level"] == "critical"
        assert picked.count(True) == 1

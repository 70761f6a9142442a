# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces of a host, found and entered on the real kernel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._errors import NamespaceError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.counters import read_sockstat
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import PORT_RANGE

from .inside import private

# In a namespace of its own: a range, a listener, then it waits to be ended.
NEIGHBOUR = """
import socket, sys
open("/proc/sys/net/ipv4/ip_local_port_range", "w").write(sys.argv[1])
listeners = [socket.create_server(("0.0.0.0", 0)) for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
"""


def inode_of(process: subprocess.Popen[str]) -> int:
    return Path(f"/proc/{process.pid}/ns/net").stat().st_ino


@contextlib.contextmanager
def neighbour(port_range: str = "20000 20999", listeners: int = 3) -> Iterator[subprocess.Popen[str]]:
    command = ["unshare", "--net", "python3", "-c", NEIGHBOUR, port_range, str(listeners)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.stdin.close()


def of(process: subprocess.Popen[str]) -> namespaces.Namespace:
    (found,) = (one for one in namespaces.find_others() if one.inode == inode_of(process))
    return found


@private
def test_inside_all_that_is_read_is_of_that_namespace() -> None:
    home = namespaces.own_inode(), sysctl.read(PORT_RANGE), read_sockstat()["TCP"]["inuse"]
    with neighbour() as process:
        with namespaces.inside(of(process)):
            assert namespaces.own_inode() == inode_of(process)
            assert sysctl.read(PORT_RANGE) == "20000\t20999"
            assert read_sockstat()["TCP"]["inuse"] == 3
        assert (namespaces.own_inode(), sysctl.read(PORT_RANGE), read_sockstat()["TCP"]["inuse"]) == home


@private
def test_home_again_whatever_goes_wrong_inside() -> None:
    home = namespaces.own_inode()
    with neighbour() as process, contextlib.suppress(ZeroDivisionError), namespaces.inside(of(process)):
        1 / 0  # noqa: B018
    assert namespaces.own_inode() == home


@private
def test_one_that_is_only_mounted() -> None:
    """As ip netns add and CNI leave one, with no process in it."""
    place = Path("/var/lib/netops.ephemeral_ports/blue net")
    place.touch()
    with neighbour() as process:
        subprocess.run(["mount", "--bind", f"/proc/{process.pid}/ns/net", place], check=True)
        inode = of(process).inode
    (found,) = (one for one in namespaces.find_others() if one.inode == inode)
    assert found == namespaces.Namespace(inode, str(place), None)
    with namespaces.inside(found):
        assert sysctl.read(PORT_RANGE) == "20000\t20999"


@private
def test_one_that_ended_between_finding_and_entering() -> None:
    with neighbour() as process:
        found = of(process)
    home = namespaces.own_inode()
    with pytest.raises(NamespaceError) as error, namespaces.inside(found):
        pass
    assert error.value.ended
    assert namespaces.own_inode() == home


@private
def test_one_of_another_users_user_namespace() -> None:
    """As rootless podman makes them."""
    command = ["unshare", "--user", "--map-root-user", "--net", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print("ready", file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
        with namespaces.inside(of(process)):
            assert namespaces.own_inode() == inode_of(process)
        process.stdin.close()


@private
def test_without_privilege_namespaces_are_told_apart_but_not_entered() -> None:
    if os.geteuid() or Path("/proc/self/uid_map").read_text().split()[-1] != "4294967295":
        pytest.skip("only root can become somebody else")
    with neighbour() as one, neighbour() as other:
        read_sockstat()  # what Python loads for it may be out of reach later
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: its own /proc/self/ns stays readable
        hidden = {found.pid: found for found in namespaces.find_others() if found.inode is None}
        assert {one.pid, other.pid} <= set(hidden)
        with pytest.raises(NamespaceError, match="Permission denied") as error, namespaces.inside(hidden[one.pid]):
            pass
        assert not error.value.ended
        assert read_sockstat(f"/proc/{one.pid}")["TCP"]["inuse"] == 3

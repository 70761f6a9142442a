# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other network namespaces for tests, each with a program in it, and what is observed of them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.run import run as observe_host
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info

from .inside import REFUSED, in_child, private
from .options import defaults_of

CLONE_NEWPID, PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 0x20000000, 1, 4
CAPABILITY_VERSION_3, CAP_SYS_ADMIN = 0x20080522, 21
libc = ctypes.CDLL(None, use_errno=True)


def alone(test: Callable[[], None]) -> Callable[[], None]:
    """Decorate a test whose /proc shows no process but its own, so that it never enters what is not its own."""

    def body() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            root, place = line.split()[3:5]
            if root.startswith("net:["):  # a container's, of the machine
                subprocess.run(["umount", "--lazy", place], check=True)
        test()

    @private
    @functools.wraps(test)
    def run() -> None:
        if libc.unshare(CLONE_NEWPID):
            pytest.skip("no process namespace of its own")
        code, text = in_child(body)
        if code == REFUSED:
            pytest.skip(text)
        assert not code, text or f"exit code {code}"

    return run


# In a namespace of its own: a range, a listener, then it waits to be ended.
NEIGHBOUR = """
import socket, sys
open("/proc/sys/net/ipv4/ip_local_port_range", "w").write(sys.argv[1])
listeners = [socket.create_server(("0.0.0.0", 0)) for _ in range(3)]
print("ready", flush=True)
sys.stdin.read()
"""


def inode_of(process: subprocess.Popen[str]) -> int:
    return Path(f"/proc/{process.pid}/ns/net").stat().st_ino


@contextlib.contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says when it is ready, and ends with its standard input."""
    env = {**os.environ, **environment}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.stdin.close()


def neighbour(port_range: str = "20000 20999") -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return running("unshare", "--net", "python3", "-c", NEIGHBOUR, port_range)


def of(process: subprocess.Popen[str]) -> namespaces.Namespace:
    (found,) = (one for one in namespaces.find_others() if one.inode == inode_of(process))
    return found


def become_nobody_is_possible() -> None:
    if os.geteuid() or Path("/proc/self/uid_map").read_text().split()[-1] != "4294967295":
        pytest.skip("only root can become somebody else")


def become_nobody() -> None:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    libc.prctl(PR_SET_DUMPABLE, 1)  # its own /proc/self/ns stays readable


def drop_sys_admin() -> None:
    """For good, and no other capability."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            have = int(line.split()[1], 16) & ~(1 << CAP_SYS_ADMIN)
    low, high = have & 0xFFFFFFFF, have >> 32
    header, sets = struct.pack("Ii", CAPABILITY_VERSION_3, 0), struct.pack("6I", low, low, 0, high, high, 0)
    assert libc.capset(header, sets) == 0


# A namespace whose 100 ports are all taken, and a program in it that waits to be ended.
EXHAUSTED = """
import socket, subprocess, sys
if "container" not in sys.argv:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("20000 20099")
server = socket.create_server(("127.0.0.1", 443), backlog=200)
clients = []
try:
    while True:
        clients.append(socket.create_connection(("127.0.0.1", 443)))
except OSError as error:
    assert error.errno == 99, error
print("ready", flush=True)
sys.stdin.read()
"""


def observe(**options: Any) -> dict[str, Any]:
    return observe_host({**defaults_of(port_usage_info), **options}, False)


def exhausted() -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return running("unshare", "--net", "python3", "-c", EXHAUSTED)

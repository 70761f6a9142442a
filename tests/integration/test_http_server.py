# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: HTTP as far as it speaks it, clear refusals, and no child left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.http_server import (
    RESPONSE,
    keep_alive_server,
)

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

# A parent that prints the id of its child and then waits for what comes.
PARENT = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)  # a shell may have them ignored in what it runs in the background
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.http_server import keep_alive_server
with keep_alive_server("127.0.0.1", 0):
    print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
    time.sleep(60)
"""


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=60)


def receive(client: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += client.recv(size - len(received))
    return received


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def new_children() -> Callable[[], list[int]]:
    """Children of this process since the test began; it has others that serve all tests."""
    before = children(os.getpid())
    return lambda: [pid for pid in children(os.getpid()) if pid not in before]


def gone(pid: int) -> bool:
    """Whether a process ends within a few seconds. A zombie has ended, not every container has an init that reaps."""
    for _unused in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        ([REQUEST], 1),
        ([REQUEST, REQUEST], 2),
        ([REQUEST * 3], 3),
        ([REQUEST[:10], REQUEST[10:]], 1),
        ([REQUEST[:-1], REQUEST[-1:]], 1),
        ([REQUEST + REQUEST[:-2], REQUEST[-2:]], 2),
    ],
    ids=["one", "kept alive", "pipelined", "in two pieces", "split in the last line end", "one and a half"],
)
def test_answers_every_request_and_stays_open(pieces: list[bytes], answers: int) -> None:
    with keep_alive_server("127.0.0.1", 0) as url, connect(url) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(0.02)
        assert receive(client, answers * len(RESPONSE)) == RESPONSE * answers
        client.settimeout(0.2)
        with pytest.raises(socket.timeout):
            client.recv(1)


def test_endless_request_is_dropped() -> None:
    with keep_alive_server("127.0.0.1", 0) as url, connect(url) as client, pytest.raises(ConnectionError):
        client.sendall(b"x" * 100_000_000)


def test_reset_by_a_client_is_survived() -> None:
    with keep_alive_server("127.0.0.1", 0) as url:
        with connect(url) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(REQUEST[:5])
        with connect(url) as client:
            client.sendall(REQUEST)
            assert receive(client, len(RESPONSE)) == RESPONSE


@pytest.mark.parametrize(
    ("address", "port", "message"),
    [
        ("localhost", 0, "serve must be an IPv4 or IPv6 address, not 'localhost'"),
        ("", 0, "serve must be an IPv4 or IPv6 address"),
        ("0.0.0.0", 0, "serve must be an address that a client can connect to"),
        ("::", 0, "serve must be an address that a client can connect to"),
        ("224.0.0.1", 0, "serve must be an address that a client can connect to"),
        ("192.0.2.1", 0, "serve: 192.0.2.1 is not a local address"),
    ],
)
def test_refused(address: str, port: int, message: str, new_children: Callable[[], list[int]]) -> None:
    with pytest.raises(OptionError, match=f"^{message}"), keep_alive_server(address, port):
        pass
    assert not new_children()


def test_port_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OptionError, match=r"^serve_port: port .* in use"),
        keep_alive_server("127.0.0.1", other.getsockname()[1]),
    ):
        pass


def test_child_is_gone_after_the_block(new_children: Callable[[], list[int]]) -> None:
    with keep_alive_server("127.0.0.1", 0):
        (child,) = new_children()
    assert not Path(f"/proc/{child}").exists()


def test_child_is_gone_after_an_exception(new_children: Callable[[], list[int]]) -> None:
    with pytest.raises(ZeroDivisionError), keep_alive_server("127.0.0.1", 0):
        raise ZeroDivisionError
    assert not new_children()


def test_child_that_died_early_is_reaped(new_children: Callable[[], list[int]]) -> None:
    with keep_alive_server("127.0.0.1", 0):
        (child,) = new_children()
        os.kill(child, signal.SIGKILL)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_child_is_gone_when_its_parent_is_killed(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
    assert parent.returncode != 0
    assert gone(child)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserved ports: written whole, never lifted on the way, and kept for their service."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet, parse_ports

from .dropin import RANGE, RESERVED, absent, get, present, put
from .inside import private

EVERY_OTHER = PortSet.of(range(1, 65535, 2))  # 191 KiB, the longest list there is
LONG = PortSet.of(range(20001, 45000, 2))  # 73 KiB
THREE_WRITES = PortSet.of(range(20001, 24000, 2))


@private
def test_longest_list_is_written_whole_and_comes_back_whole() -> None:
    put(RESERVED, str(LONG))
    assert parse_ports(get(RESERVED)) == LONG
    assert len(str(LONG)) > 64 << 10
    content = f"{RESERVED} = {EVERY_OTHER}\n"
    assert present(content, on_conflict="ignore")["changed"]
    assert parse_ports(get(RESERVED)) == EVERY_OTHER
    assert not present(content, on_conflict="ignore")["changed"]
    absent()
    assert parse_ports(get(RESERVED)) == LONG


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("80", str(THREE_WRITES)),
        (str(THREE_WRITES), str(THREE_WRITES | PortSet([(1, 100)]))),
        (str(THREE_WRITES), f"1-100,{THREE_WRITES}"),
        (str(THREE_WRITES), "80,20001-30000"),
        (str(THREE_WRITES), ""),
        ("1-100", "90-110"),
    ],
)
@private
def test_no_write_lifts_a_reservation_that_stays(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(RESERVED, old)
    kept = parse_ports(old) & parse_ports(new)
    lists = spy_on_writes(monkeypatch)
    present(f"{RESERVED} = {new}\n", on_conflict="ignore")  # not every loader of a boot reads so long a list
    assert lists
    assert [kept - parse_ports(text) for text in lists] == [PortSet()] * len(lists)


def spy_on_writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list of reserved ports after each single write to anything."""
    lists: list[str] = []

    def spied(function: Callable[..., int]) -> Callable[..., int]:
        def write(*arguments: Any) -> int:
            result = function(*arguments)
            lists.append(get(RESERVED))
            return result

        return write

    monkeypatch.setattr(os, "write", spied(os.write))
    monkeypatch.setattr(os, "pwrite", spied(os.pwrite))
    return lists


# A service gets its port

SERVICE = ("0.0.0.0", 30010)
PEER = ("198.18.0.1", 8080)


def serve(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(4096)
    return listener


def take_all_ports() -> list[socket.socket]:
    """Connect to the peer until no local port is left."""
    connections = []
    with contextlib.suppress(OSError):
        while True:
            connections.append(socket.socket())
            connections[-1].connect(PEER)
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        socket.create_connection(PEER)
    return connections[:-1]


@pytest.mark.parametrize("closed", [False, True], ids=["established", "TIME_WAIT"])
@pytest.mark.parametrize("reserved", [True, False])
@private
def test_service_gets_its_port_back_only_if_it_is_reserved(reserved: bool, closed: bool) -> None:
    put(RANGE, "40000 40019")
    service = serve(SERVICE)
    lines = [f"{RESERVED} = {SERVICE[1]}"] if reserved else []
    present("\n".join([f"{RANGE} = 30000 30099", *lines]))
    peer = serve(PEER)
    service.close()
    connections = take_all_ports()
    assert len(connections) == 100 - reserved
    if closed:
        for connection in connections:
            connection.close()
    if reserved:
        serve(SERVICE).close()
    else:
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            serve(SERVICE)
    peer.close()

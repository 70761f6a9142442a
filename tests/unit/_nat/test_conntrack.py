# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of connection tracking on what no kernel should say; real entries are in tests/integration/test_nat.py."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._nat import ctnetlink, procfs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._nat.entries import SRC_NAT, Entries, Group, Key

LINE = (
    b"ipv4     2 tcp      6 119 TIME_WAIT src=10.1.0.2 dst=192.0.2.10 sport=20005 dport=443 src=192.0.2.10 "
    b"dst=203.0.113.1 sport=443 dport=2045 [ASSURED] mark=0 zone=7 use=2\n"
)
KEY = Key(socket.inet_aton("203.0.113.1"), socket.inet_aton("192.0.2.10"), 443, socket.IPPROTO_TCP, 7)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(port: int, more: bytes = b"") -> bytes:
    """As the kernel writes it, with a zone."""
    addresses = attribute(1, KEY.address) + attribute(2, KEY.source)
    ports = attribute(1, b"\6") + attribute(2, struct.pack(">H", 443)) + attribute(3, struct.pack(">H", port))
    reply = attribute(2, attribute(1, addresses) + attribute(2, ports))
    zone, status, left = (
        attribute(18, b"\0\7"),
        attribute(3, struct.pack(">I", 0x1E)),
        attribute(7, struct.pack(">I", 99)),
    )
    body = b"\2\0\0\0" + reply + zone + status + left + attribute(4, attribute(1, attribute(1, b"\7"))) + more
    return struct.pack("=IHHII", 16 + len(body), 256, 2, 1, 0) + body


def read(*messages: bytes) -> dict[Key, Group]:
    found = Entries("netlink")
    ctnetlink.collect(((one, len(one)) for one in messages), found)
    return dict(found.largest(1))


def test_columns_and_single_messages_say_the_same() -> None:
    """The second kind is longer; the third has all in another place."""
    found = read(*(message(port) for port in range(2000, 2600)), message(3000, attribute(99, b"more")))
    group = found.pop(KEY)
    assert not found
    assert sorted(group.ports) == [*range(2000, 2600), 3000]
    assert set(group.left) == {99}
    assert set(group.states) == {7}
    swapped = message(5000).replace(attribute(18, b"\0\7"), b"") + attribute(18, b"\0\7")
    assert sorted(read(message(4000), swapped)[KEY].ports) == [4000, 5000]


@given(st.data())
def test_damaged_messages_are_read_or_passed_over(data: st.DataObject) -> None:
    damaged = bytearray(message(2000) * 3)
    for _time in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(16, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    found = Entries("netlink")
    ctnetlink.collect(iter([(bytes(damaged), len(message(2000)))]), found)
    assert sum(map(len, found.records.values())) <= 3


def test_a_line_of_procfs() -> None:
    found = Entries("procfs")
    procfs.collect(
        [LINE, b"ipv4 2 icmp 1 29 src=10.1.0.2 dst=192.0.2.1 type=8 code=0 id=1 zone=0 use=2\n", b"\n"], found
    )
    ((key, group),) = found.largest(1)
    assert key == KEY
    assert (list(group.ports), list(group.left), group.states, group.statuses[0] & SRC_NAT) == (
        [2045],
        [119],
        b"\7",
        16,
    )

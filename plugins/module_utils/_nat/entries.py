# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of connection tracking, by what their port has to be unique for. What readers fill and pools are made of.

NAT chooses the port that a reply comes back to. It has to be unique for translated source, destination, port, protocol
and zone, whoever made the entry.
"""

import array
import collections
import itertools
import socket
import struct
import sys
from typing import Any, Counter, DefaultDict, Iterator, NamedTuple, Tuple

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP

# enum tcp_conntrack (include/uapi/linux/netfilter/nf_conntrack_tcp.h), as conntrack(8) names them.
STATES = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
ESTABLISHED, TIME_WAIT = STATES.index("ESTABLISHED"), STATES.index("TIME_WAIT")
# enum ip_conntrack_status: a reply was seen, the connection has lasted, its source was translated.
SEEN_REPLY, ASSURED, SRC_NAT = 2, 4, 16
# Of an entry that is not forgotten by time.
NO_TIMEOUT = 0xFFFFFFFF

# A record is port, state, status (its lowest byte) and seconds left, in network order, packed into one number.
RECORD, RECORD_SIZE = "Q", 8
PORT, STATE, STATUS, LEFT = 0, 2, 3, 4
_RECORD = struct.Struct(">HBBI")


class Key(NamedTuple):
    """source: the translated one. address, port: where the connection goes."""

    source: bytes
    address: bytes
    port: int
    protocol: int
    zone: int


class Entry(NamedTuple):
    """port: that a reply comes back to. left: seconds until the entry is forgotten."""

    port: int
    state: int
    status: int
    left: int


class Group(NamedTuple):
    """Entries with one key, column by column."""

    ports: "array.array[int]"
    states: bytes
    statuses: bytes
    left: "array.array[int]"

    @property
    def is_translated(self) -> bool:
        return any(status & SRC_NAT for status in set(self.statuses))

    def select(self, chosen: bytes) -> "Group":
        """Those whose byte is not 0."""
        if 0 not in chosen:
            return self
        ports, states, statuses, left = (itertools.compress(column, chosen) for column in self)
        return Group(array.array("H", ports), bytes(states), bytes(statuses), array.array("I", left))

    def within(self, low: int, high: int) -> "Group":
        """Those on ports from low to high."""
        wanted = bytes(low) + b"\1" * (high + 1 - low) + bytes(65535 - high)
        return self.select(bytes(map(wanted.__getitem__, self.ports)))

    def in_state(self, state: int) -> "Group":
        return self.select(self.states.translate(_marks(state)))

    def with_status(self, bit: int) -> "Group":
        return self.select(self.statuses.translate(bytes(min(1, number & bit) for number in range(256))))

    def without_status(self, bit: int) -> "Group":
        return self.select(self.statuses.translate(bytes(not number & bit for number in range(256))))


class Entries:
    """All of them. method: how they were read."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.records: DefaultDict[Key, Any] = collections.defaultdict(lambda: array.array(RECORD))

    def add(self, key: Key, entry: Entry) -> None:
        self.records[key].append(int.from_bytes(_RECORD.pack(*entry), sys.byteorder))

    def largest(self, least: int, always: int = 0) -> Iterator[Tuple[Key, Group]]:
        """Of at least so many entries, the largest first. always: so many are given however small they are."""
        found = sorted(self.records.items(), key=lambda one: (-len(one[1]), one[0]))
        for place, (key, records) in enumerate(found):
            if place >= always and len(records) < least:
                return
            yield key, _group(records.tobytes())


def states(group: Group, protocol: int) -> Counter[str]:
    """How many are in each state. Those of UDP are what conntrack(8) says of them."""
    found: Counter[str] = collections.Counter()
    if protocol == TCP:
        for state, number in collections.Counter(group.states).items():
            found[STATES[state] if state < len(STATES) else "OTHER"] += number
        return found
    for status, number in collections.Counter(group.statuses).items():
        replied = "REPLIED" if status & SEEN_REPLY else "UNREPLIED"
        found["ASSURED" if status & ASSURED else replied] += number
    return found


def _marks(byte: int) -> bytes:
    return bytes(byte) + b"\1" + bytes(255 - byte)


def _group(records: bytes) -> Group:
    ports = bytearray(len(records) // RECORD_SIZE * 2)
    left = bytearray(len(records) // RECORD_SIZE * 4)
    for byte in range(2):
        ports[byte::2] = records[PORT + byte :: RECORD_SIZE]
    for byte in range(4):
        left[byte::4] = records[LEFT + byte :: RECORD_SIZE]
    return Group(_numbers("H", ports), records[STATE::RECORD_SIZE], records[STATUS::RECORD_SIZE], _numbers("I", left))


def _numbers(form: str, data: bytearray) -> "array.array[int]":
    found = array.array(form, bytes(data))
    if sys.byteorder == "little":
        found.byteswap()
    return found

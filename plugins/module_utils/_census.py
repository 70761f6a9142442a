# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at all TCP sockets of a network namespace, in the form that both readers deliver.

Only what the diagnosis needs is kept, so that a million sockets fit into a few kilobytes: sockets are counted per
destination, TIME_WAIT sockets also per 256 ms of the time that they have left.
"""

from typing import Counter, Dict, FrozenSet, Iterable, NamedTuple, Tuple

from ._port_range import PortRange, PortSet, range_ports

# include/net/tcp_states.h
STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
SYN_RECV = 3
TIME_WAIT = 6
CLOSE = 7
LISTEN = 10

# A tick is what remains of a timer in milliseconds, shifted right by this.
TICK_SHIFT = 8

# Source address, destination address (4 or 16 bytes, network order), destination port.
Destination = Tuple[bytes, bytes, int]

_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


class Census(NamedTuple):
    """What was counted.

    states: sockets per state number, of either side.
    listening: local ports of listeners.
    bound: local ports of sockets that are bound but neither listen nor are connected, where the kernel tells (6.8).
    live: sockets of any state but TIME_WAIT per destination, on client ports only.
    time_wait: the same for TIME_WAIT, per tick left.
    complete: whether the kernel reported no gap.
    """

    states: Counter[int]
    listening: FrozenSet[int]
    bound: FrozenSet[int]
    live: Counter[Destination]
    time_wait: Dict[Destination, Counter[int]]
    complete: bool


def client_ports(port_range: PortRange, reserved: PortSet, held: Iterable[int]) -> PortSet:
    """The ports that connect() may choose. A socket on any other port is a server's, or was bound on purpose."""
    return range_ports(port_range) - reserved - PortSet.of(held)


def fold(address: bytes) -> bytes:
    """An IPv4 address out of its v4-mapped form: both use one space of 4-tuples in the kernel."""
    return address[12:] if address[:12] == _V4_MAPPED else address

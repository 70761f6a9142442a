# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at all TCP sockets of a network namespace, in the form that both readers deliver.

Only what the diagnosis needs is kept, so that a million sockets fit into a megabyte: sockets are counted per
destination, TIME_WAIT sockets also per 256 ms of the time that they have left.
"""

import collections
import itertools
from typing import Counter, Dict, Iterable, Iterator, List, Mapping, Set, Tuple

from .._kernel.ports import PortRange, PortSet, range_ports

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
FIN_WAIT2 = 5
TIME_WAIT = 6
CLOSE = 7
LISTEN = 10

# A tick is what remains of a timer in milliseconds, shifted right by this.
TICK_SHIFT = 8
# What a longer time is taken for: TIME_WAIT lasts for 235 ticks, save on some patched kernels.
MAX_TICK = 255
_EVERY_TICK = bytes(range(MAX_TICK + 1))

# Source address, destination address (4 or 16 bytes, network order), destination port.
Destination = Tuple[bytes, bytes, int]

# Enough to tell how ports were chosen, and small.
_SAMPLE_SIZE = 8192

_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


class Ages(Mapping[Destination, Counter[int]]):
    """Sockets in TIME_WAIT per destination, and of each destination per tick left.

    A byte is kept for each socket: ready counters for a thousand destinations would want ten times the memory.
    """

    def __init__(self) -> None:
        self._ticks: Dict[Destination, bytearray] = {}

    def __getitem__(self, destination: Destination) -> Counter[int]:
        return collections.Counter(self._ticks[destination])

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._ticks)

    def __len__(self) -> int:
        return len(self._ticks)

    def number(self, destination: Destination, least: int = 0) -> int:
        """Sockets of a destination that have at least so many ticks left, without a counter for each tick."""
        ticks = self._ticks.get(destination, bytearray())
        return len(ticks.translate(None, _EVERY_TICK[: max(0, least)]))

    def add(self, destination: Destination, ticks: Iterable[int]) -> None:
        """Note sockets, each by its ticks, at most MAX_TICK."""
        self._ticks.setdefault(destination, bytearray()).extend(ticks)


class Census:
    """What was counted.

    states: sockets per state number, of either side.
    listening: local ports of listeners.
    bound: local ports of sockets that are bound but neither listen nor are connected, where the kernel tells (6.8).
    live: sockets of any state but TIME_WAIT per destination, on client ports only.
    fin_wait2: those of them that wait for the peer to close.
    time_wait: sockets in TIME_WAIT per destination, on client ports only, per tick left.
    sample: local ports of some of all these sockets.
    complete: whether the kernel reported no gap.
    """

    def __init__(self) -> None:
        self.states: Counter[int] = collections.Counter()
        self.listening: Set[int] = set()
        self.bound: Set[int] = set()
        self.live: Counter[Destination] = collections.Counter()
        self.fin_wait2: Counter[Destination] = collections.Counter()
        self.time_wait = Ages()
        self.sample: List[int] = []
        self.complete = True

    def add_live(self, destination: Destination, port: int, state: int) -> None:
        self.live[destination] += 1
        if state == FIN_WAIT2:
            self.fin_wait2[destination] += 1
        self.add_sample((port,))

    def add_sample(self, ports: Iterable[int]) -> None:
        self.sample.extend(itertools.islice(ports, _SAMPLE_SIZE - len(self.sample)))


def client_ports(port_range: PortRange, reserved: PortSet, held: Iterable[int]) -> PortSet:
    """The ports that connect() may choose. A socket on any other port is a server's, or was bound on purpose."""
    return range_ports(port_range) - reserved - PortSet.of(held)


def fold(address: bytes) -> bytes:
    """An IPv4 address out of its v4-mapped form: both use one space of 4-tuples in the kernel."""
    return address[12:] if address[:12] == _V4_MAPPED else address

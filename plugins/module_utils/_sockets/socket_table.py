# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All TCP sockets of a network namespace, counted. A million of them fit into a few megabytes."""

import array
import collections
import itertools
import re
import sys
from typing import Counter, Dict, Iterable, Iterator, Optional, Set, Tuple

from .._kernel.tcp import Destination

# A tick is what remains of a timer in milliseconds, shifted right by this, or by more where TIME_WAIT is longer.
TICK_SHIFT = 8
# What a longer time is taken for: TIME_WAIT lasts for 235 ticks, save on some patched kernels.
MAX_TICK = 255
# Enough for 1,048 s. The longest TIME_WAIT that a kernel is known to offer is 600 s.
WIDEST_TICK_SHIFT = 12
_EVERY_TICK = bytes(range(MAX_TICK + 1))

# A socket in TIME_WAIT is 4 bytes, a number: its tick, the local port above it, and a zero byte on top. Where they are:
TICK, PORT_LOW, PORT_HIGH = (0, 1, 2) if sys.byteorder == "little" else (3, 2, 1)
RECORD = "I"
RECORD_SIZE = 4
_PORT_SHIFT = 8
_WANTED = re.compile(b"\1")
# To find one of so many costs as much as to read them all.
_RARE = 6


def record(port: int, tick: int) -> int:
    return port << _PORT_SHIFT | tick


def tick_shift(longest_ms: int) -> int:
    """For ticks of which MAX_TICK are longer than that."""
    return max(TICK_SHIFT, (longest_ms // MAX_TICK).bit_length())


class TimeWaitExpiries:
    """When sockets in TIME_WAIT end, per destination: the ticks that each has left, and its local port.

    Bytes are kept for each socket: ready counters for a thousand destinations would want ten times the memory.
    shift: how long a tick is. cut: whether a socket had more left than MAX_TICK.
    """

    def __init__(self, shift: int = TICK_SHIFT) -> None:
        self.shift = shift
        self.cut = False
        self._records: Dict[Destination, array.array[int]] = {}

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._records)

    def add(self, destination: Destination, records: Iterable[int]) -> None:
        """Note sockets, each by what record() makes of it."""
        self._records.setdefault(destination, array.array(RECORD)).extend(records)

    def count(self, destination: Destination, least: int = 0) -> int:
        """Sockets of a destination that have at least so many ticks left, without a counter for each tick."""
        if not least:
            return len(self._records.get(destination, ()))
        return len(self._column(destination, TICK).translate(None, _EVERY_TICK[: max(0, least)]))

    def exceeds(self, left_ms: int) -> bool:
        """Whether any socket has more left than that, for sure."""
        tick = (left_ms >> self.shift) + 1
        return tick <= MAX_TICK and any(self.count(destination, tick) for destination in self)

    def longest_ms(self, destination: Optional[Destination] = None) -> int:
        """What a socket of this destination, or of any, has left at most; the middle of its tick."""
        every = (self._column(one, TICK) for one in ([destination] if destination else self))
        most = max((max(ticks) for ticks in every if ticks), default=None)
        return 0 if most is None else (most << self.shift) + (1 << self.shift - 1)

    def histogram(self, *destinations: Destination) -> Counter[int]:
        """Sockets of these destinations per tick left, counted anew."""
        return collections.Counter(b"".join(self._column(one, TICK) for one in destinations))

    def ports(self, destination: Destination, pages: Optional[bytes] = None) -> Iterable[int]:
        """The local port of each. pages: by the high byte of a port, whether it is wanted, and 1 if so; some more may
        come along.
        """
        raw = self._raw(destination)
        ports = memoryview(raw[1:] + raw[:1]).cast("H")[::2]
        if pages:
            wanted = raw[PORT_HIGH::RECORD_SIZE].translate(pages)
            if wanted.count(1) * _RARE < len(wanted):
                return (ports[found.start()] for found in _WANTED.finditer(wanted))
        return ports

    def ticks(self, destination: Destination) -> bytes:
        """What each has left."""
        return self._column(destination, TICK)

    def low_bytes(self, destination: Destination) -> bytes:
        """The low byte of each local port."""
        return self._column(destination, PORT_LOW)

    def high_bytes(self, destination: Destination) -> bytes:
        return self._column(destination, PORT_HIGH)

    def _column(self, destination: Destination, number: int) -> bytes:
        return self._raw(destination)[number::RECORD_SIZE]

    def _raw(self, destination: Destination) -> bytes:
        found = self._records.get(destination)
        return found.tobytes() if found else b""


class SocketTable:
    """What was counted.

    states: sockets per state number, of either side.
    listening: local ports of listeners.
    bound: local ports of sockets that are bound but neither listen nor are connected, where the kernel tells (6.8).
    holders: both of these ports, per local address.
    live: sockets of any state but TIME_WAIT per destination, on client ports only.
    live_states: the same per state.
    syn_resent: those of them in SYN_SENT that had to send their SYN again.
    time_wait: sockets in TIME_WAIT per destination, on client ports only.
    complete: whether the kernel reported no gap.
    """

    def __init__(self, shift: int = TICK_SHIFT) -> None:
        self.states: Counter[int] = collections.Counter()
        self.listening: Set[int] = set()
        self.bound: Set[int] = set()
        self.holders: Dict[bytes, Set[int]] = {}
        self.live: Counter[Destination] = collections.Counter()
        self.live_states: Counter[Tuple[Destination, int]] = collections.Counter()
        self.syn_resent: Counter[Destination] = collections.Counter()
        self.live_ports: Dict[Destination, array.array[int]] = {}
        self.time_wait = TimeWaitExpiries(shift)
        self.complete = True

    def add_holder(self, address: bytes, port: int, listens: bool) -> None:
        (self.listening if listens else self.bound).add(port)
        self.holders.setdefault(address, set()).add(port)

    def add_live(self, destination: Destination, state: int, port: int) -> None:
        self.live[destination] += 1
        self.live_states[destination, state] += 1
        self.live_ports.setdefault(destination, array.array("H")).append(port)

    def count(self, destination: Destination) -> int:
        """Sockets of a destination in any state."""
        return self.live[destination] + self.time_wait.count(destination)

    def ports(self, destination: Destination, pages: Optional[bytes] = None) -> Iterable[int]:
        """The local port of each of them; pages as above."""
        return itertools.chain(self.live_ports.get(destination, ()), self.time_wait.ports(destination, pages))

    def spread(self, destination: Destination) -> int:
        """From the lowest to the highest of them there are so many ports at least."""
        ports = self.live_ports.get(destination, ())
        high = self.time_wait.high_bytes(destination) + bytes(port >> 8 for port in ports)
        lowest = next(page for page in range(256) if page in high)
        highest = next(page for page in range(255, -1, -1) if page in high)
        return max(1, (highest - lowest - 1) * 256 + 2)

    def count_odd(self, destination: Destination) -> int:
        """How many of them have an odd local port."""
        odd = len(self.time_wait.low_bytes(destination).translate(None, _EVEN))
        return odd + sum(port & 1 for port in self.live_ports.get(destination, ()))

    def count_recent(self, destination: Destination, least: int) -> int:
        """How many of them are live, or have at least so many ticks left of TIME_WAIT."""
        return self.live[destination] + self.time_wait.count(destination, least)

    def has_recent(self, destination: Destination, least: int, odd: int) -> bool:
        """Whether any of those has an odd local port, or an even one."""
        is_recent = self.time_wait.ticks(destination).translate((bytes(least) + _ALL_FLAGGED)[: MAX_TICK + 1])
        is_wanted = self.time_wait.low_bytes(destination).translate(_IS_ODD if odd else _IS_EVEN)
        # As one number each, since a loop in Python would take as long as all else.
        both = int.from_bytes(is_recent, "big") & int.from_bytes(is_wanted, "big")
        return both != 0 or any(port & 1 == odd for port in self.live_ports.get(destination, ()))

    def destinations(self) -> Set[Destination]:
        return set(self.live) | set(self.time_wait)


_IS_ODD, _IS_EVEN = (bytes(byte & 1 == odd for byte in range(256)) for odd in (1, 0))
_EVEN = bytes(range(0, 256, 2))
_ALL_FLAGGED = b"\1" * (MAX_TICK + 1)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All TCP sockets of a network namespace, counted. A million of them fit into a megabyte."""

import collections
from typing import Counter, Dict, Iterable, Iterator, Optional, Set, Tuple

from .._kernel.tcp import Destination

# A tick is what remains of a timer in milliseconds, shifted right by this, or by more where TIME_WAIT is longer.
TICK_SHIFT = 8
# What a longer time is taken for: TIME_WAIT lasts for 235 ticks, save on some patched kernels.
MAX_TICK = 255
# Enough for 1,048 s. The longest TIME_WAIT that a kernel is known to offer is 600 s.
WIDEST_TICK_SHIFT = 12
_EVERY_TICK = bytes(range(MAX_TICK + 1))


def tick_shift(longest_ms: int) -> int:
    """For ticks of which MAX_TICK are longer than that."""
    return max(TICK_SHIFT, (longest_ms // MAX_TICK).bit_length())


class TimeWaitExpiries:
    """When sockets in TIME_WAIT end, per destination: the ticks that each has left.

    A byte is kept for each socket: ready counters for a thousand destinations would want ten times the memory.
    shift: how long a tick is. cut: whether a socket had more left than MAX_TICK.
    """

    def __init__(self, shift: int = TICK_SHIFT) -> None:
        self.shift = shift
        self.cut = False
        self._ticks: Dict[Destination, bytearray] = {}

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._ticks)

    def add(self, destination: Destination, ticks: Iterable[int]) -> None:
        """Note sockets, each by its ticks, at most MAX_TICK."""
        self._ticks.setdefault(destination, bytearray()).extend(ticks)

    def count(self, destination: Destination, least: int = 0) -> int:
        """Sockets of a destination that have at least so many ticks left, without a counter for each tick."""
        ticks = self._ticks.get(destination, bytearray())
        return len(ticks.translate(None, _EVERY_TICK[: max(0, least)]))

    def exceeds(self, left_ms: int) -> bool:
        """Whether any socket has more left than that, for sure."""
        tick = (left_ms >> self.shift) + 1
        return tick <= MAX_TICK and any(self.count(destination, tick) for destination in self._ticks)

    def longest_ms(self, destination: Optional[Destination] = None) -> int:
        """What a socket of this destination, or of any, has left at most; the middle of its tick."""
        found = self._ticks.values() if destination is None else [self._ticks.get(destination, b"")]
        most = max((max(ticks) for ticks in found if ticks), default=None)
        return 0 if most is None else (most << self.shift) + (1 << self.shift - 1)

    def histogram(self, destination: Destination) -> Counter[int]:
        """Sockets of a destination per tick left, counted anew."""
        return collections.Counter(self._ticks.get(destination, b""))


class SocketTable:
    """What was counted.

    states: sockets per state number, of either side.
    listening: local ports of listeners.
    bound: local ports of sockets that are bound but neither listen nor are connected, where the kernel tells (6.8).
    live: sockets of any state but TIME_WAIT per destination, on client ports only.
    live_states: the same per state.
    time_wait: sockets in TIME_WAIT per destination, on client ports only.
    second_half: client ports in use of the parity that bind() tries first, and connect() last.
    complete: whether the kernel reported no gap.
    """

    def __init__(self, shift: int = TICK_SHIFT) -> None:
        self.states: Counter[int] = collections.Counter()
        self.listening: Set[int] = set()
        self.bound: Set[int] = set()
        self.live: Counter[Destination] = collections.Counter()
        self.live_states: Counter[Tuple[Destination, int]] = collections.Counter()
        self.time_wait = TimeWaitExpiries(shift)
        self.second_half: Set[int] = set()
        self.complete = True

    def add_live(self, destination: Destination, state: int) -> None:
        self.live[destination] += 1
        self.live_states[destination, state] += 1

    def count(self, destination: Destination) -> int:
        """Sockets of a destination in any state."""
        return self.live[destination] + self.time_wait.count(destination)

    def destinations(self) -> Set[Destination]:
        return set(self.live) | set(self.time_wait)

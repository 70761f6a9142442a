# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All TCP sockets of a network namespace, counted. A million of them fit into a megabyte."""

import collections
from typing import Counter, Dict, Iterable, Iterator, Set, Tuple

from .._kernel.tcp import Destination

# A tick is what remains of a timer in milliseconds, shifted right by this.
TICK_SHIFT = 8
# What a longer time is taken for: TIME_WAIT lasts for 235 ticks, save on some patched kernels.
MAX_TICK = 255
_EVERY_TICK = bytes(range(MAX_TICK + 1))


class TimeWaitExpiries:
    """When sockets in TIME_WAIT end, per destination: the ticks that each has left.

    A byte is kept for each socket: ready counters for a thousand destinations would want ten times the memory.
    """

    def __init__(self) -> None:
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

    def __init__(self) -> None:
        self.states: Counter[int] = collections.Counter()
        self.listening: Set[int] = set()
        self.bound: Set[int] = set()
        self.live: Counter[Destination] = collections.Counter()
        self.live_states: Counter[Tuple[Destination, int]] = collections.Counter()
        self.time_wait = TimeWaitExpiries()
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

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last minute of a pool, read from the ages of its sockets in TIME_WAIT. Pure.

Every socket in TIME_WAIT tells how much of its time is left, so one dump holds the history of closed connections. Where
ports are reused earlier, older sockets are missing: then only the time within the reuse delay is complete.
"""

from typing import Mapping, NamedTuple, Optional

from .._kernel.time_wait import TIME_WAIT_MS
from .._sockets.socket_table import TICK_SHIFT

_RECENT_MS = 10000
# The recent part of all that is known, for a trend: 10 s of 60.
_PART_OF_ALL = 6
# A change of the rate by less than a quarter, or of fewer connections than this, is taken for noise.
_TREND_FACTOR = 1.25
_TREND_SOCKETS = 20


class Waiting(NamedTuple):
    """The closed connections of a pool that the kernel still knows.

    ticks: how many have so many ticks left. hold_ms: for how long each blocks its port. lasts_ms: for how long the
    kernel knows it, where no reuse ends that; what has more left was closed while it was longer. shift: of the ticks.
    """

    ticks: Mapping[int, int]
    hold_ms: int
    lasts_ms: int = TIME_WAIT_MS
    shift: int = TICK_SHIFT

    @property
    def number(self) -> int:
        return sum(self.ticks.values())

    @property
    def tick_ms(self) -> int:
        return 1 << self.shift

    @property
    def reused(self) -> bool:
        """Whether ports are taken before TIME_WAIT is over."""
        return self.hold_ms < self.lasts_ms

    @property
    def blocking(self) -> int:
        """Those whose port may not be reused yet."""
        least = lowest_blocking_tick(self.hold_ms, self.lasts_ms, self.shift)
        return sum(number for tick, number in self.ticks.items() if tick >= least) if least else self.number

    @property
    def longest_left_ms(self) -> Optional[int]:
        """What any of them has left of TIME_WAIT, at most; the middle of its tick."""
        return (max(self.ticks) << self.shift) + self.tick_ms // 2 if self.ticks else None

    def busiest(self, window_ms: int) -> int:
        """The most connections that were closed within a time of that length."""
        width = window_ms // self.tick_ms + 2
        return max((sum(self.ticks.get(tick + more, 0) for more in range(width)) for tick in self.ticks), default=0)

    def younger(self, age_ms: int) -> float:
        """How many were closed within so long, a tick that is partly older in proportion."""
        edge = self.lasts_ms - age_ms >> self.shift
        last = self.lasts_ms >> self.shift
        partly = sum(self.ticks.get(tick, 0) * self._share_younger(tick, age_ms) for tick in (edge, edge + 1))
        return partly + sum(number for tick, number in self.ticks.items() if edge + 1 < tick <= last)

    def closed_per_second(self, window_ms: int) -> float:
        """Connections closed per second within the last window_ms, or within all the time that is known."""
        window_ms = min(window_ms, self.lasts_ms)
        return self.younger(window_ms) * 1000 / window_ms

    def current_rate(self) -> float:
        """Connections closed per second over the last 10 s, or over the hold time where that is shorter."""
        return self.closed_per_second(max(self.tick_ms, min(_RECENT_MS, self.hold_ms)))

    def trend(self, now: Optional[float] = None) -> Optional[str]:
        """rising, steady or falling: the last 10 s against the time before, or the rate of now against the last 10 s
        where it has changed within them. None where too little is known to tell.
        """
        if self.reused or self.number < _TREND_SOCKETS:
            return None
        recent_ms = min(_RECENT_MS, self.lasts_ms // _PART_OF_ALL)
        recent = self.closed_per_second(recent_ms)
        whole = self.closed_per_second(self.lasts_ms)
        before = (whole * self.lasts_ms - recent * recent_ms) / (self.lasts_ms - recent_ms)
        if now is not None and differs(now, recent, recent_ms):
            recent, before = now, recent
        if recent > before * _TREND_FACTOR:
            return "rising"
        return "falling" if recent * _TREND_FACTOR < before else "steady"

    def youngest_age_ms(self, tick: int) -> int:
        return max(0, self.lasts_ms - ((tick + 1 << self.shift) - 1))

    def _share_younger(self, tick: int, age_ms: int) -> float:
        """The share of a tick's sockets that is younger than age_ms, if they are spread evenly over the tick.

        The last tick also holds sockets that have outlived their time by the 1 to 4 s for which timers may be late.
        """
        oldest = self.lasts_ms - (tick << self.shift)
        if oldest < 0:
            return 0.0
        youngest = self.youngest_age_ms(tick)
        return min(1.0, max(0.0, (age_ms - youngest) / max(1, oldest - youngest)))


def differs(now: float, recent: float, recent_ms: int) -> bool:
    """Whether a load has changed clearly within that time."""
    is_noise = abs(now - recent) * recent_ms < _TREND_SOCKETS * 1000
    return not is_noise and not recent <= now * _TREND_FACTOR <= recent * _TREND_FACTOR**2


def lowest_blocking_tick(hold_ms: int, lasts_ms: int = TIME_WAIT_MS, shift: int = TICK_SHIFT) -> int:
    """The ticks that a closed connection has left, at least, while it blocks its port. In doubt a port is blocked."""
    return max(0, lasts_ms + 1 - hold_ms >> shift)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last 60 seconds of a pool, read from the ages of its sockets in TIME_WAIT, and what follows. Pure.

Every socket in TIME_WAIT tells how much of its time is left, so one dump holds the history of closed connections. Where
ports are reused earlier, older sockets are missing: then only the time within the reuse delay is complete.
"""

from typing import List, Mapping, NamedTuple, Optional

from .._kernel.time_wait import TIME_WAIT_MS
from .._sockets.socket_table import TICK_SHIFT

_TICK_MS = 1 << TICK_SHIFT
_RECENT_MS = 10000
# A change of the rate by less than a quarter, or of fewer connections than this, is taken for noise.
_TREND_FACTOR = 1.25
_TREND_SOCKETS = 20


class Forecast(NamedTuple):
    """saturation: in the steady state at the current rate; above 1, more ports are wanted than there are.

    Seconds are 0 where it is so already and None where it will not happen.
    """

    saturation: float
    seconds_to_critical: Optional[float]
    seconds_to_exhausted: Optional[float]


class Waiting(NamedTuple):
    """The closed connections of a pool that the kernel still knows.

    ticks: how many have so many ticks left. hold_ms: for how long each blocks its port. lasts_ms: for how long the
    kernel knows it, where no reuse ends that.
    """

    ticks: Mapping[int, int]
    hold_ms: int
    lasts_ms: int = TIME_WAIT_MS

    @property
    def number(self) -> int:
        return sum(self.ticks.values())

    @property
    def blocking(self) -> int:
        """Those whose port may not be reused yet."""
        least = lowest_blocking_tick(self.hold_ms, self.lasts_ms)
        return sum(number for tick, number in self.ticks.items() if tick >= least)

    def busiest(self, window_ms: int) -> int:
        """The most connections that were closed within a time of that length."""
        width = window_ms // _TICK_MS + 2
        return max((sum(self.ticks.get(tick + more, 0) for more in range(width)) for tick in self.ticks), default=0)

    def closed_per_second(self, window_ms: int) -> float:
        """Connections closed per second within the last window_ms (at most lasts_ms), ticks counted in proportion."""
        closed = sum(number * self._share_younger(tick, window_ms) for tick, number in self.ticks.items())
        return closed * 1000 / window_ms

    def current_rate(self) -> float:
        """Connections closed per second over the last 10 s, or over the hold time where that is shorter."""
        return self.closed_per_second(max(_TICK_MS, min(_RECENT_MS, self.hold_ms)))

    def trend(self) -> Optional[str]:
        """rising, steady or falling: the last 10 s against the time before. None where too little is known to tell."""
        if self.hold_ms < self.lasts_ms or self.number < _TREND_SOCKETS:
            return None
        recent = self.closed_per_second(_RECENT_MS)
        whole = self.closed_per_second(self.lasts_ms)
        before = (whole * self.lasts_ms - recent * _RECENT_MS) / (self.lasts_ms - _RECENT_MS)
        if recent > before * _TREND_FACTOR:
            return "rising"
        return "falling" if recent * _TREND_FACTOR < before else "steady"

    def youngest_age_ms(self, tick: int) -> int:
        return max(0, self.lasts_ms - ((tick + 1 << TICK_SHIFT) - 1))

    def _share_younger(self, tick: int, age_ms: int) -> float:
        """The share of a tick's sockets that is younger than age_ms, if they are spread evenly over the tick.

        The last tick also holds sockets that have outlived their time by the 1 to 4 s for which timers may be late.
        """
        oldest = self.lasts_ms - (tick << TICK_SHIFT)
        youngest = self.youngest_age_ms(tick)
        return min(1.0, max(0.0, (age_ms - youngest) / max(1, oldest - youngest)))


def lowest_blocking_tick(hold_ms: int, lasts_ms: int = TIME_WAIT_MS) -> int:
    """The ticks that a closed connection has left, at least, while it blocks its port. In doubt a port is blocked."""
    return lasts_ms + 1 - hold_ms >> TICK_SHIFT


def forecast(waiting: Waiting, live: int, usable: int, critical: float) -> Forecast:
    """What becomes of a pool if connections go on to be closed at the current rate and as many stay live."""
    if not usable:
        return Forecast(1.0, 0.0, 0.0)
    rate = waiting.current_rate()
    course = _blocked_over_time(waiting, live, rate)
    steady = live + rate * waiting.hold_ms / 1000
    return Forecast(
        round(steady / usable, 4),
        _seconds_until(course, critical * usable),
        _seconds_until(course, usable),
    )


def _blocked_over_time(waiting: Waiting, live: int, rate: float) -> List[float]:
    """Blocked ports at each tick from now until all that wait now have ended."""
    ends: List[int] = [0] * (waiting.hold_ms // _TICK_MS + 2)
    for tick, number in waiting.ticks.items():
        left_ms = waiting.hold_ms - waiting.youngest_age_ms(tick)
        if left_ms > 0:
            ends[min(left_ms // _TICK_MS, len(ends) - 1)] += number
    blocked = sum(ends)
    course = [float(live + blocked)]
    for step, ended in enumerate(ends):
        blocked -= ended
        course.append(live + blocked + rate * min((step + 1) * _TICK_MS, waiting.hold_ms) / 1000)
    return course


def _seconds_until(course: List[float], threshold: float) -> Optional[float]:
    return next((round(step * _TICK_MS / 1000, 1) for step, value in enumerate(course) if value >= threshold), None)

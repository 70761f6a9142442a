# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last 60 seconds of a destination, read from the ages of its TIME_WAIT sockets, and what comes of it. Pure.

Every socket in TIME_WAIT tells how much of its 60 s is left, so one look holds the history of closed connections. Where
ports are taken over earlier, older sockets are missing: then only the time within the reuse delay is complete.
"""

from typing import List, Mapping, NamedTuple, Optional

from .._kernel.features import TIME_WAIT_MS
from .._sockets.socket_table import TICK_SHIFT

_TICK_MS = 1 << TICK_SHIFT
_RECENT_MS = 10000
# A change of the rate by less than a quarter, or of fewer connections than this, is taken for noise.
_TREND_FACTOR = 1.25
_TREND_SOCKETS = 20

Ticks = Mapping[int, int]


class Forecast(NamedTuple):
    """saturation: in the steady state at the present rate; above 1, more ports are wanted than there are.

    Seconds are 0 where it is so already and None where it will not happen.
    """

    saturation: float
    seconds_to_critical: Optional[float]
    seconds_to_exhausted: Optional[float]


def closed_per_second(ticks: Ticks, window_ms: int) -> float:
    """Connections closed per second within the last window_ms (at most 60,000), each tick counted in proportion."""
    return sum(number * _share_younger(tick, window_ms) for tick, number in ticks.items()) * 1000 / window_ms


def present_rate(ticks: Ticks, hold_ms: int) -> float:
    """Connections closed per second over the last 10 s, or over the reuse delay where that is shorter."""
    return closed_per_second(ticks, max(_TICK_MS, min(_RECENT_MS, hold_ms)))


def trend(ticks: Ticks, hold_ms: int) -> Optional[str]:
    """rising, steady or falling: the last 10 s against the 50 s before. None where too little is known to tell."""
    if hold_ms < TIME_WAIT_MS or sum(ticks.values()) < _TREND_SOCKETS:
        return None
    recent = closed_per_second(ticks, _RECENT_MS)
    whole = closed_per_second(ticks, TIME_WAIT_MS)
    before = (whole * TIME_WAIT_MS - recent * _RECENT_MS) / (TIME_WAIT_MS - _RECENT_MS)
    if recent > before * _TREND_FACTOR:
        return "rising"
    return "falling" if recent * _TREND_FACTOR < before else "steady"


def blocked_now(ticks: Ticks, hold_ms: int) -> int:
    """TIME_WAIT sockets whose port may not be taken over yet."""
    least = least_blocking(hold_ms)
    return sum(number for tick, number in ticks.items() if tick >= least)


def least_blocking(hold_ms: int) -> int:
    """The ticks that a TIME_WAIT socket has left, at least, while it blocks its port. In doubt a port is blocked."""
    return TIME_WAIT_MS + 1 - hold_ms >> TICK_SHIFT


def forecast(ticks: Ticks, live: int, hold_ms: int, usable: int, critical: float) -> Forecast:
    """What becomes of a destination if connections go on to be closed at the present rate and as many stay live."""
    if not usable:
        return Forecast(1.0, 0.0, 0.0)
    rate = present_rate(ticks, hold_ms)
    course = _course(ticks, live, hold_ms, rate)
    steady = live + rate * hold_ms / 1000
    return Forecast(
        round(steady / usable, 4),
        _first(course, critical * usable),
        _first(course, usable),
    )


def _course(ticks: Ticks, live: int, hold_ms: int, rate: float) -> List[float]:
    """Blocked ports at each tick from now until all present TIME_WAIT sockets have ended."""
    ends: List[int] = [0] * (hold_ms // _TICK_MS + 2)
    for tick, number in ticks.items():
        left_ms = hold_ms - _youngest_age_ms(tick)
        if left_ms > 0:
            ends[min(left_ms // _TICK_MS, len(ends) - 1)] += number
    blocked = sum(ends)
    course = [float(live + blocked)]
    for step, ended in enumerate(ends):
        blocked -= ended
        course.append(live + blocked + rate * min((step + 1) * _TICK_MS, hold_ms) / 1000)
    return course


def _first(course: List[float], threshold: float) -> Optional[float]:
    """Seconds until the course reaches the threshold."""
    return next((round(step * _TICK_MS / 1000, 1) for step, value in enumerate(course) if value >= threshold), None)


def _youngest_age_ms(tick: int) -> int:
    return max(0, TIME_WAIT_MS - ((tick + 1 << TICK_SHIFT) - 1))


def _share_younger(tick: int, age_ms: int) -> float:
    """The share of a tick's sockets that is younger than age_ms, if they are spread evenly over the tick.

    The last tick also holds sockets that have outlived their 60 s by the 1 to 4 s for which timers may be late.
    """
    oldest = TIME_WAIT_MS - (tick << TICK_SHIFT)
    youngest = _youngest_age_ms(tick)
    return min(1.0, max(0.0, (age_ms - youngest) / max(1, oldest - youngest)))

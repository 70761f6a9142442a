# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a pool, as the ages of its sockets in TIME_WAIT tell. Pure."""

from typing import List, NamedTuple, Optional

from .waiting import Waiting


class Forecast(NamedTuple):
    """saturation: in the steady state at the current rate; above 1, more ports are wanted than there are.

    Seconds are 0 where it is so already and None where it will not happen.
    """

    saturation: float
    seconds_to_critical: Optional[float]
    seconds_to_exhausted: Optional[float]


def forecast(waiting: Waiting, live: int, usable: int, critical: float) -> Forecast:
    """What becomes of a pool if connections go on to be closed at the current rate and as many stay live."""
    if not usable:
        return Forecast(1.0, 0.0, 0.0)
    rate = waiting.current_rate()
    course = _blocked_over_time(waiting, live, rate)
    steady = live + rate * waiting.hold_ms / 1000
    return Forecast(
        round(steady / usable, 4),
        _seconds_until(course, critical * usable, waiting.tick_ms),
        _seconds_until(course, usable, waiting.tick_ms),
    )


def _blocked_over_time(waiting: Waiting, live: int, rate: float) -> List[float]:
    """Blocked ports at each tick from now until all that wait now have ended."""
    ends: List[int] = [0] * (waiting.hold_ms // waiting.tick_ms + 2)
    for tick, number in waiting.ticks.items():
        left_ms = waiting.hold_ms - waiting.youngest_age_ms(tick)
        if left_ms > 0:
            ends[min(left_ms // waiting.tick_ms, len(ends) - 1)] += number
    blocked = sum(ends)
    course = [float(live + blocked)]
    for step, ended in enumerate(ends):
        blocked -= ended
        course.append(live + blocked + rate * min((step + 1) * waiting.tick_ms, waiting.hold_ms) / 1000)
    return course


def _seconds_until(course: List[float], threshold: float, step_ms: int) -> Optional[float]:
    return next((round(step * step_ms / 1000, 1) for step, value in enumerate(course) if value >= threshold), None)

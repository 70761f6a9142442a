# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a pool, as the ages of its sockets in TIME_WAIT tell. Pure."""

import itertools
from typing import Dict, List, NamedTuple, Optional, Tuple

from .trend import Rate, trend
from .waiting import Waiting

# A slope is followed for so many times as long as it was seen, then the rate stays.
_REACH = 3.5
_STEP_TICKS = 2
# Timers of the kernel are late by that part of TIME_WAIT, as long as nothing else was seen: 1 s of 60.
_LATE = 60
_OLD_TICKS = 40
_ENOUGH = 100
# A time is told as an interval where it may be off by more than this.
_SURE_SHARE, _SURE_SECONDS = 0.1, 2.0

# A pool that would not be critical at so many times its rate needs no line through its past.
_FAR = 3

# The earliest and the latest time; None where it may never be.
Interval = List[Optional[float]]


class Forecast(NamedTuple):
    """rate: connections closed per second now; slope: by how much it grows each second, 0 where that is not sure.

    saturation: in the steady state at that rate; above 1, more ports are wanted than there are. Seconds are 0 where it
    is so already and None where it is not to be expected. between: where the data are thin, when it may be.
    """

    rate: float
    slope: float
    saturation: float
    seconds_to_critical: Optional[float]
    critical_between: Optional[Interval]
    seconds_to_exhausted: Optional[float]
    exhausted_between: Optional[Interval]


def forecast(waiting: Waiting, live: int, usable: int, critical: float, exhausted: bool = False) -> Forecast:
    """What becomes of a pool if its connections go on to be closed as lately and as many stay live.

    exhausted: whether no port is left. Then attempts fail, and how many there are does not show in what is closed.
    """
    now = trend(waiting, plain=_is_far(waiting, live, usable * critical))
    rate, slope = round(now.likely.now, 1), round(now.likely.slope, 2) + 0.0
    steady = live + now.likely.now * waiting.hold_ms / 1000
    saturation = steady / usable if usable else 1.0
    if exhausted or not usable:
        return Forecast(rate, 0.0, round(max(1.0, saturation), 4), 0.0, None, 0.0, None)
    ends = _ends(waiting)
    fast = _course(waiting, ends, live, now.fast, now.seconds)
    if max(fast.blocked) < critical * usable and live + waiting.blocking < critical * usable:
        return Forecast(rate, slope, round(saturation, 4), None, None, None, None)
    likely, slow = (_course(waiting, ends, live, one, now.seconds) for one in (now.likely, now.slow))
    if live + waiting.blocking >= critical * usable:
        to_critical: Tuple[Optional[float], Optional[Interval]] = (0.0, None)
    else:
        to_critical = _when(likely, fast, slow, critical * usable)
    # With reuse a client gets as far as the limit and stays there without a failure: only more than that is too much.
    if waiting.reused and slow.blocked[-1] < usable:
        to_exhausted: Tuple[Optional[float], Optional[Interval]] = (None, None)
    else:
        to_exhausted = _when(likely, fast, slow, usable)
    return Forecast(rate, slope, round(saturation, 4), *to_critical, *to_exhausted)


def _is_far(waiting: Waiting, live: int, threshold: float) -> bool:
    rate = max(waiting.current_rate(), waiting.closed_per_second(1000))
    return live + waiting.number + _FAR * rate * waiting.hold_ms / 1000 < threshold


class _Course(NamedTuple):
    """Ports blocked after each step."""

    step: float
    blocked: List[float]

    def reaches(self, threshold: float) -> Optional[float]:
        """Seconds from now on; never 0."""
        before = self.blocked[0]
        for index, value in enumerate(self.blocked[1:]):
            if value >= threshold:
                part = (threshold - before) / (value - before) if value > before else 0.0
                return max(0.1, round((index + min(1.0, max(0.0, part))) * self.step, 1))
            before = value
        return None


def _when(
    likely: _Course, fast: _Course, slow: _Course, threshold: float
) -> Tuple[Optional[float], Optional[Interval]]:
    seconds, earliest, latest = (course.reaches(threshold) for course in (likely, fast, slow))
    if seconds is None:
        return None, None if earliest is None else [earliest, None]
    earliest = seconds if earliest is None else min(earliest, seconds)
    off = max(_SURE_SECONDS, _SURE_SHARE * seconds)
    sure = seconds - earliest <= off and latest is not None and latest - seconds <= off
    return seconds, None if sure else [earliest, latest and max(latest, seconds)]


def _late_ms(waiting: Waiting) -> int:
    """By how much timers outlive TIME_WAIT: those that do are in the last tick, with as many as the others have."""
    old = sum(waiting.ticks.get(tick, 0) for tick in range(1, _OLD_TICKS + 1))
    if old < _ENOUGH or waiting.lasts_ms < _OLD_TICKS << waiting.shift + 1:
        return waiting.lasts_ms // _LATE
    late = waiting.ticks.get(0, 0) * _OLD_TICKS / old - 1
    return int(min(waiting.lasts_ms / 10, max(0.0, late * waiting.tick_ms)))


def _step_ms(waiting: Waiting) -> int:
    return waiting.tick_ms * (1 if waiting.reused else _STEP_TICKS)


class _Ends(NamedTuple):
    """late_ms: how long timers outlive their time. blocked: ports now; ends: how many are free after each step."""

    late_ms: int
    blocked: float
    ends: Dict[int, float]


def _ends(waiting: Waiting) -> _Ends:
    """When the ports of closed connections are free."""
    late_ms, step_ms = _late_ms(waiting), _step_ms(waiting)
    if waiting.reused:
        left = [waiting.younger(max(0, age)) for age in range(waiting.hold_ms, -step_ms, -step_ms)]
        return _Ends(0, left[0], {step: before - after for step, (before, after) in enumerate(zip(left, left[1:]))})
    ends: Dict[int, float] = {}
    half = waiting.tick_ms // 2 + late_ms
    for tick, number in waiting.ticks.items():
        if tick:
            step = ((tick << waiting.shift) + half) // step_ms
            ends[step] = ends.get(step, 0.0) + number
    overdue = range((waiting.tick_ms + late_ms) // step_ms + 1)
    for step in overdue:
        ends[step] = ends.get(step, 0.0) + waiting.ticks.get(0, 0) / len(overdue)
    return _Ends(late_ms, sum(ends.values()), ends)


def _course(waiting: Waiting, ends: _Ends, live: int, rate: Rate, seen: float) -> _Course:
    """If connections are closed at that rate. seen: for how many seconds it has been so."""
    step = _step_ms(waiting) / 1000
    hold = (waiting.hold_ms + ends.late_ms) / 1000
    reach = seen * _REACH if rate.slope else 0.0
    steps = int((max(hold, reach) + step) / step) + 1
    turn = min(steps, int(reach / step + 0.5))  # from there on the rate stays
    each = [max(0.0, rate.now + rate.slope * ((index + 0.5) * step)) * step for index in range(turn)]
    each += [max(0.0, rate.now + rate.slope * reach) * step] * (steps - turn)
    closed = [0.0, *itertools.accumulate(each)]  # by so many steps from now on
    free = itertools.accumulate(ends.ends.get(index, 0.0) for index in range(steps))
    blocked = [live + ends.blocked]
    blocked += [live + (ends.blocked - gone) + new for gone, new in zip(free, closed[1:])]
    held = hold / step
    for index in range(int(held) + 1, steps + 1):
        whole = int(index - held)
        blocked[index] -= closed[whole] + (closed[whole + 1] - closed[whole]) * (index - held - whole)
    return _Course(step, blocked)

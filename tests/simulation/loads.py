# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads of known shape on a pool of 4,000 ports, and what a dump of its sockets would show at any time.

Used by the tests of the forecast and by tests/benchmark/forecasts.py.
"""

from __future__ import annotations

import bisect
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import Waiting

USABLE, CRITICAL = 4000, 0.5
TIME_WAIT_MS = 60000
# At which parts of the way to the critical level a forecast is made.
PARTS = (0.25, 0.5, 0.75)
# A timer of 60 s runs out at the next multiple of this (HZ = 250).
TIMER_MS = 2048


class Load(NamedTuple):
    """rate: connections per second, t seconds after the start. since: the last time at which it changed at once.

    What comes before since cannot be forecast from ages; the way to critical begins there. lasts: seconds to simulate.
    """

    rate: Callable[[float], float]
    since: float
    lasts: float
    words: str


LOADS = {
    "constant": Load(lambda _t: 55, 0, 90, "55 per second"),
    "ramp": Load(lambda t: 20 + 2 * t, 0, 60, "20 per second and 2 more each second"),
    "burst": Load(lambda t: 400 if 5 <= t < 9 else 20, 9, 60, "20 per second, and 400 from 5 s to 9 s"),
    "burst that fills": Load(lambda t: 20 if t < 30 else 300, 30, 60, "20 per second, and 300 from 30 s on"),
    "stop": Load(lambda t: 90 if t < 18 else 0, 18, 90, "90 per second until 18 s, then none"),
    "daily shape": Load(
        lambda t: 40 + 20 * math.sin(2 * math.pi * t / 240), 0, 90, "a day of 4 minutes, from its morning: 40 to 60"
    ),
}


def _day(low: float, high: float) -> Callable[[float], float]:
    return lambda t: (low + high) / 2 - (high - low) / 2 * math.cos(2 * math.pi * t / 600)


# Longer than the minute that ages show: what is seen of the night is nearly level, and says little of the morning.
DAYS = {
    f"{low} to {high}": Load(
        _day(low, high),
        0,
        260,
        f"a day of 10 minutes, from its night: {low} to {high} per second",
    )
    for low, high in ((10, 50), (20, 50), (20, 60))
}


def best_share_good(rate: float, slope: float, seen: float, left: float, net: float) -> float:
    """How many forecasts can be good at most where connections come at random, on an average.

    Seen for so many seconds, the newest rate and the slope of a Poisson load have variances of 4 * rate / seen and
    12 * rate / seen**3 at least, and a covariance of 6 * rate / seen**2 (Cramer and Rao, for a line, the rate about
    level); connections still to come add rate * left. net: blocked ports more each second at the end of the way.
    """
    known = 4 * rate / seen * left**2 + 3 * rate / seen**3 * left**4 + 6 * rate / seen**2 * left**3
    off = math.sqrt(known + (rate + slope * left / 2) * left) / net
    return math.erf(allowed_error(left) / off / math.sqrt(2))


class Past:
    """Connections by the time at which they were closed, in seconds since the load began."""

    def __init__(self, closed: list[float]) -> None:
        self.closed = closed
        self.ended = sorted(self._end(at) for at in closed)

    @staticmethod
    def _end(at: float) -> float:
        return math.ceil((at * 1000 + TIME_WAIT_MS) / TIMER_MS) * TIMER_MS / 1000

    def blocked(self, at: float) -> int:
        return bisect.bisect_right(self.closed, at) - bisect.bisect_right(self.ended, at)

    def waiting(self, at: float) -> Waiting:
        known = self.closed[: bisect.bisect_right(self.closed, at)]
        known = known[bisect.bisect_left(known, at - (TIME_WAIT_MS + TIMER_MS) / 1000) :]
        left = (max(0, int(TIME_WAIT_MS - (at - one) * 1000)) for one in known if self._end(one) > at)
        return Waiting(Counter(ms >> 8 for ms in left), TIME_WAIT_MS)

    def reached(self, saturation: float) -> float | None:
        """When so many ports were blocked for the first time."""
        return next((at for at in self.closed if self.blocked(at) >= saturation * USABLE), None)


def simulate(load: Load, dice: random.Random | None = None) -> Past:
    """Closed evenly, or at random by dice, at the load's rate."""
    step, due, closed = 0.001, 0.0, []
    wanted = dice.expovariate(1) if dice else 1.0
    for index in range(int(load.lasts / step)):
        due += load.rate(index * step) * step
        while due >= wanted:
            closed.append(index * step)
            wanted += dice.expovariate(1) if dice else 1.0
    return Past(closed)


def on_the_way(load: Load, past: Past, part: float) -> tuple[float, float | None]:
    """A time from the last sudden change of a load to the critical level, and the seconds left until that.

    Where it is never reached, the way is that of the last port out of TIME_WAIT.
    """
    reached = past.reached(CRITICAL)
    end = load.since + TIME_WAIT_MS / 1000 if reached is None else reached
    at = load.since + (end - load.since) * part
    return at, None if reached is None else reached - at


def allowed_error(left: float) -> float:
    """What is wanted of a forecast of that many seconds: 10%, or 2 s."""
    return max(2.0, 0.1 * left)


def is_good(seconds: float | None, left: float | None) -> bool:
    if seconds is None or left is None:
        return seconds == left
    return abs(seconds - left) <= allowed_error(left)


def is_within(between: Sequence[float | None] | None, left: float | None) -> bool:
    """Whether an interval was given, and what happened lies in it."""
    if not between or left is None:
        return False
    earliest, latest = between
    return (earliest or 0) <= left and (latest is None or left <= latest)


def former_forecast(waiting: Waiting, usable: int, critical: float) -> float | None:
    """Seconds to critical if the rate of the last 10 s stays: the forecast before there was one with a trend."""
    rate, tick = waiting.current_rate(), waiting.tick_ms / 1000
    steps = waiting.hold_ms // waiting.tick_ms + 2
    ends: Counter[int] = Counter()
    for one, number in waiting.ticks.items():
        ends[min((waiting.hold_ms - waiting.youngest_age_ms(one)) // waiting.tick_ms, steps)] += number
    blocked = sum(ends.values())
    for step in range(steps):
        if blocked + rate * min(step * tick, waiting.hold_ms / 1000) >= critical * usable:
            return round(step * tick, 1)
        blocked -= ends[step]
    return None


HEAD = """\
| load | forecast at | critical after | former forecast | error | forecast | error |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def row(name: str, at: float, left: float | None, former: float | None, seen: float | None) -> str:
    """Of the table in docs/benchmarks.md: what a forecast said, and by how much it was early (-) or late (+)."""

    def cells(seconds: float | None) -> str:
        off = "" if seconds is None or left is None else f"{seconds - left:+.1f} s"
        return f"{'never' if seconds is None else f'{seconds:.1f} s'} | {off or ('' if seconds == left else 'missed')}"

    return f"| {name} | {at:.1f} s | {'never' if left is None else f'{left:.1f} s'} | {cells(former)} | {cells(seen)} |"

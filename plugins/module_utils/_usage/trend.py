# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast connections are closed now, and how that changes: a line through the newest part of the last minute. Pure.

A load starts, stops and bursts, so that no line fits all of the minute. The minute is split where two lines fit clearly
better than one, and the newest part is split again, until one line will do.
"""

import math
from typing import Iterator, List, NamedTuple, Tuple

from .waiting import Waiting

# So many ticks are counted together: 0.5 s.
_TICKS = 2
# Ages are told apart more finely the younger they are.
_FINER = 1.2
# What is shorter than a line is level; few bins do not tell how uneven a load is.
_SHORTEST, _SHORTEST_LINE, _FEW = 2, 8, 10
# Two lines have to beat one by that (twice the log of a likelihood, for each doubling of what is known).
_CLEARLY = 4.0
# A number of whole sockets is half of one off, however even the load is.
_UNEVEN = 0.25
# A slope of so many standard errors is taken for none, one of three times as many nearly as it is.
_NOISE = 1.5
# How many standard errors a rate or slope may be off, and how many of a rate beside those of a slope.
_APART, _TOGETHER = 2.5, 2.0
# A load that goes with the day bends, too slowly for a minute to show: by how much the slope may have changed within
# that minute, as a share of the rate.
_BEND = 0.5
_QUIET_MS = 10000


class Rate(NamedTuple):
    """Connections closed per second now, and by how much that grows each second."""

    now: float
    slope: float = 0.0


class Trend(NamedTuple):
    """The rate as it seems, its slope 0 where none is sure; what it may be at most and at least; and for how long."""

    likely: Rate
    fast: Rate
    slow: Rate
    seconds: float


class _Line(NamedTuple):
    """Through numbers of sockets by age, in bins: its middle, its slope, and what it leaves unexplained."""

    mean: float
    slope: float
    residual: float
    spread: float


class _Bins:
    """Numbers of closed connections, the newest first, with sums that give the line through any part at once."""

    def __init__(self, numbers: List[int]) -> None:
        self.length = len(numbers)
        self._sums: List[Tuple[int, int, int]] = [(0, 0, 0)]
        y = iy = yy = 0
        for index, number in enumerate(numbers):
            y, iy, yy = y + number, iy + index * number, yy + number * number
            self._sums.append((y, iy, yy))

    def line(self, start: int, end: int) -> _Line:
        """Level where the part is too short for a slope."""
        length = end - start
        y, iy, yy = (after - before for before, after in zip(self._sums[start], self._sums[end]))
        mean = y / length
        left = yy - y * mean
        if length < _SHORTEST_LINE:
            return _Line(mean, 0.0, max(0.0, left), 0.0)
        spread = length * (length * length - 1) / 12
        together = iy - (start + end - 1) / 2 * y
        return _Line(mean, together / spread, max(0.0, left - together * together / spread), spread)

    def residual(self, start: int, end: int) -> float:
        """That of line(), without all else: hundreds of lines are tried for each pool."""
        length = end - start
        y_before, iy_before, yy_before = self._sums[start]
        y_after, iy_after, yy_after = self._sums[end]
        y = y_after - y_before
        left = yy_after - yy_before - y * (y / length)
        if length >= _SHORTEST_LINE:
            together = iy_after - iy_before - (start + end - 1) / 2 * y
            left -= together * together / (length * (length * length - 1) / 12)
        return left if left > 0 else 0.0

    def unexplained(self, end: int, at: int) -> float:
        """By two lines, one through the bins before at and one through those from there to end."""
        return self.residual(0, at) + self.residual(at, end)


def trend(waiting: Waiting, plain: bool = False) -> Trend:
    """What the ages tell. Where ports are reused early, only the time within the hold time is known: too short.

    plain: a rate is enough.
    """
    if plain:
        return _level(waiting.current_rate(), 0.0, 0.0)
    if waiting.reused or waiting.lasts_ms >> waiting.shift <= _TICKS * _SHORTEST_LINE:
        window_ms = max(waiting.tick_ms, waiting.hold_ms)
        closed = waiting.younger(window_ms)
        return _level(closed * 1000 / window_ms, math.sqrt(closed) * 1000 / window_ms, window_ms / 1000)
    if not waiting.younger(min(_QUIET_MS, waiting.lasts_ms // 2)):
        return _level(0.0, 0.0, 0.0)
    newest = (waiting.lasts_ms >> waiting.shift) - 1
    # The last tick is left out: it also holds sockets whose timer is late.
    bins = _Bins(
        [
            sum(waiting.ticks.get(tick - more, 0) for more in range(_TICKS))
            for tick in range(newest, _TICKS - 1, -_TICKS)
        ]
    )
    end = _newest_part(bins)
    line = bins.line(0, end)
    # Where that is not known, the load is taken for a random one.
    free = end - (2 if line.spread else 1)
    variance = max(_UNEVEN, line.residual / free, line.mean if end < _FEW else 0.0)
    slope_error = math.sqrt(variance / line.spread) if line.spread else 0.0
    trusted = max(0.0, 1 - (_NOISE * slope_error / line.slope) ** 2) if line.slope else 0.0
    # Ages grow with the index: what falls with age rises with time. The youngest bin is some milliseconds old.
    per_second = 1000 / (_TICKS * waiting.tick_ms)
    newest_ms = waiting.lasts_ms - (newest + 1 << waiting.shift)
    back = (end - 1) / 2 + 0.5 + newest_ms * per_second / 1000
    off = math.sqrt(variance / end) * (_TOGETHER if line.spread else _APART)

    def rate(mean: float, slope: float) -> Rate:
        return Rate(max(0.0, mean + slope * back) * per_second, slope * per_second**2)

    bend = _BEND * line.mean * end / bins.length**2 if line.spread else 0.0
    # The two errors have nothing to do with each other; of both at once a part is enough.
    return Trend(
        rate(line.mean, -line.slope * trusted),
        rate(line.mean + off, -line.slope + _APART * slope_error + bend),
        rate(line.mean - off, -line.slope - _APART * slope_error - bend),
        end / per_second,
    )


def _level(rate: float, error: float, seconds: float) -> Trend:
    return Trend(Rate(rate), Rate(rate + _APART * error), Rate(max(0.0, rate - _APART * error)), seconds)


def _newest_part(bins: _Bins) -> int:
    """How many of the newest bins one line is good for."""
    end = bins.length
    while True:
        one = bins.residual(0, end) + end * _UNEVEN
        ages = list(_ages(end))
        if not ages:
            return end
        _two, near = min((bins.unexplained(end, at), at) for at in ages)
        between = range(max((at for at in ages if at < near), default=near), near + near // 4 + 1)
        two, at = min((bins.unexplained(end, at), at) for at in between if at <= end - _SHORTEST)
        if end * math.log(one / (two + end * _UNEVEN)) < _CLEARLY * math.log(bins.length):
            return end
        # The change is somewhere within a bin, which is left out.
        end = max(_SHORTEST, at - 1)


def _ages(end: int) -> Iterator[int]:
    age = float(_SHORTEST)
    while age <= end - _SHORTEST:
        yield int(age)
        age = max(int(age) + 1, age * _FINER)

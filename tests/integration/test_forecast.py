# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts on the real kernel against what then happened: known loads on 4,000 ports, each in a namespace of its own.

What happened is read from the connections that the load really made. Where the machine was late, the forecast may be
off by that much more. The errors are printed as the table in docs/benchmarks.md (pytest -s).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from loads import (
    CRITICAL,
    LOADS,
    PARTS,
    TIME_WAIT_MS,
    USABLE,
    Past,
    allowed_error,
    former_forecast,
    on_the_way,
    row,
    simulate,
)

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.forecast import forecast

from .conftest import InNamespace
from .observing import TOOLS

PORTS = f"32768 {32767 + USABLE}"

# Makes a connection at each of these times, and observes at those. Prints when it did, and what was seen.
DRIVER = """
def drive(planned, looks, until):
    server = listen("198.18.0.1", 8080)
    closed, seen, start = [], [], time.monotonic()
    while time.monotonic() - start < until:
        now = time.monotonic() - start
        if len(closed) < len(planned) and planned[len(closed)] <= now:
            assert connect(server, 1, "198.18.0.1", 8080) == (1, 0)
            closed.append(round(time.monotonic() - start, 4))
        elif looks and looks[0] <= now:
            looks.pop(0)
            usage = observe(probe="never")
            # Between the two the kernel was asked.
            seen.append([now, time.monotonic() - start, usage["pools"][0]])
        else:
            time.sleep(0.002)
    print(json.dumps([closed, seen]))
"""


class Course(NamedTuple):
    """planned: when connections were to be made; real: when they were. seen: the pool, and when it was read."""

    planned: Past
    real: Past
    seen: list[tuple[float, float, dict[str, Any]]]

    @property
    def late(self) -> float:
        """By how many seconds a connection was made later than planned, at most."""
        return max(real - planned for planned, real in zip(self.planned.closed, self.real.closed, strict=False))

    def off_by_lateness(self, at: float) -> float:
        """By how much the connections that were made at other times than planned lead to another forecast.

        Ten seconds of a load, extrapolated for thirty: a third of a second without a connection makes seconds of it.
        """
        said = [
            forecast(past.waiting(at), 0, USABLE, CRITICAL).seconds_to_critical for past in (self.planned, self.real)
        ]
        planned, real = (one or 0 for one in said)
        return abs(real - planned)


@pytest.fixture(scope="module")
def courses(in_namespace: InNamespace) -> dict[str, Course]:
    def run(name: str) -> Course:
        load = LOADS[name]
        planned = simulate(load)
        reached = planned.reached(CRITICAL)
        looks = [round(on_the_way(load, planned, part)[0], 3) for part in PARTS]
        until = looks[-1] + 1 if reached is None else reached + 1
        times = [round(at, 3) for at in planned.closed if at <= until]
        source = f"{TOOLS}{DRIVER}drive({times}, {looks}, {until})"
        sysctls = {"net.ipv4.ip_local_port_range": PORTS, "net.ipv4.tcp_tw_reuse": "0"}
        closed, seen = json.loads(in_namespace(source, sysctls=sysctls).stdout)
        return Course(planned, Past(closed), [tuple(one) for one in seen])

    with ThreadPoolExecutor() as pool:
        return dict(zip(LOADS, pool.map(run, LOADS), strict=True))


@pytest.mark.parametrize("name", LOADS)
def test_forecast_against_what_happened(courses: dict[str, Course], name: str) -> None:
    course = courses[name]
    reached = course.real.reached(CRITICAL)
    assert (reached is None) is (name == "stop")
    assert len(course.seen) == len(PARTS)
    for begin, end, pool in course.seen:
        seconds = pool["forecast"]["seconds_to_critical"]
        left = None if reached is None else reached - (begin + end) / 2
        former = former_forecast(course.real.waiting((begin + end) / 2), USABLE, CRITICAL)
        print(row(name, begin, left, former, seconds))
        if left is None:
            assert seconds is None
        else:
            assert seconds is not None
            late = 2 * course.late + course.off_by_lateness((begin + end) / 2)
            assert abs(seconds - left) <= allowed_error(left) + (end - begin) / 2 + late


@pytest.mark.parametrize("name", LOADS)
def test_the_kernel_shows_what_the_simulation_says(courses: dict[str, Course], name: str) -> None:
    """Without this the simulation, on which the other loads and the tables rest, would show nothing."""
    course = courses[name]
    for begin, end, pool in course.seen:
        if end < TIME_WAIT_MS / 1000:  # later they end, each when its timer does
            least, most = (course.real.waiting(at).number for at in (begin, end))
            assert least - 2 <= pool["time_wait"] <= most + 2
        if end - begin < 0.2:
            # Where the load has just stopped, that is told from one moment to the next.
            rates = [forecast(course.real.waiting(at), 0, USABLE, CRITICAL).rate for at in (begin, end)]
            least, most = min(rates), max(rates)
            assert least - max(3, 0.15 * least) <= pool["forecast"]["rate"] <= most + max(3, 0.15 * most)

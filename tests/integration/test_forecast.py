# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts against what then happened: known loads on 4,000 ports, four at once, each in a namespace of its own.

The errors are printed as the table in docs/benchmarks.md (pytest -s).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import InNamespace
from .observing import TOOLS

PORTS = "32768 36767"
SECONDS = 66

# Opens connections at rate(t) per second and looks twice a second. Prints what was seen when, as a list.
DRIVER = """
def drive(rate, seconds):
    server = listen("198.18.0.1", 8080)
    seen, opened, due, start = [], 0, 0.0, time.monotonic()
    now = last = look = 0.0
    while now < seconds:
        due += rate(now) * (now - last)
        last = now
        while opened < due:
            if connect(server, 1, "198.18.0.1", 8080)[1]:
                due = opened  # no port is left: what failed is not made up for
                break
            opened += 1
        if now >= look:
            found = observe()["pools"]
            if found:
                one = found[0]
                seen.append([now, one["saturation"], one["level"], one["forecast"], one["rate"], one["trend"]])
            look += 0.5
        time.sleep(0.01)
        now = time.monotonic() - start
    print(json.dumps(seen))
"""

LOADS = {
    "constant": "lambda t: 55",
    "ramp": "lambda t: 20 + 2 * t",
    "burst": "lambda t: 400 if 5 <= t < 9 else 20",
    "stop": "lambda t: 90 if t < 18 else 0",
}


class Course:
    """What was seen of one load, and when."""

    def __init__(self, seen: list[list[Any]]) -> None:
        self.seen = seen

    def at(self, seconds: float) -> list[Any]:
        return next(one for one in self.seen if one[0] >= seconds)

    def reached(self, saturation: float) -> float | None:
        return next((one[0] for one in self.seen if one[1] >= saturation), None)


@pytest.fixture(scope="module")
def courses(in_namespace: InNamespace) -> dict[str, Course]:
    def run(rate: str) -> Course:
        source = f"{TOOLS}{DRIVER}drive({rate}, {SECONDS})"
        sysctls = {"net.ipv4.ip_local_port_range": PORTS, "net.ipv4.tcp_tw_reuse": "0"}
        return Course(json.loads(in_namespace(source, sysctls=sysctls).stdout))

    with ThreadPoolExecutor() as pool:
        return dict(zip(LOADS, pool.map(run, LOADS.values()), strict=True))


def test_constant_load(courses: dict[str, Course]) -> None:
    """55 per second block 3,300 of 4,000 ports for ever: critical after 36 s, never exhausted."""
    course = courses["constant"]
    for when in (10, 20, 30):
        now, _saturation, level, forecast, _rate, _trend = course.at(when)
        assert level in ("ok", "warning")
        happened = course.reached(0.5)
        assert happened is not None
        print(f"constant, at {when} s: critical predicted at {now + forecast['seconds_to_critical']:.1f} s, "
              f"happened at {happened:.1f} s")  # fmt: skip
        assert now + forecast["seconds_to_critical"] == pytest.approx(happened, abs=3)
        assert forecast["seconds_to_exhausted"] is None
        steady = course.seen[-1][1]
        print(f"constant, at {when} s: steady state predicted {forecast['saturation']:.3f}, happened {steady:.3f}")
        assert forecast["saturation"] == pytest.approx(steady, abs=0.05)
    assert course.at(40)[5] == "steady" or course.at(60)[5] == "steady"


def test_ramp_comes_sooner_than_its_present_rate_says(courses: dict[str, Course]) -> None:
    course = courses["ramp"]
    happened = course.reached(0.5)
    assert happened is not None
    errors = []
    for when in (15, 20, 25, 30):
        now, _saturation, _level, forecast, _rate, trend = course.at(when)
        predicted = now + forecast["seconds_to_critical"]
        print(f"ramp, at {when} s: critical predicted at {predicted:.1f} s, happened at {happened:.1f} s")
        errors.append(predicted - happened)
        assert trend == "rising"
    assert all(error > -2 for error in errors)
    assert errors[-1] < errors[0]
    assert errors[-1] < 4


def test_burst_is_over_when_it_is_over(courses: dict[str, Course]) -> None:
    """1,600 connections in 4 s: while they come the forecast is grim, 10 s later it is calm again."""
    course = courses["burst"]
    during, after = course.at(8.5), course.at(20)
    print(f"burst, at 8.5 s: critical predicted in {during[3]['seconds_to_critical']} s; at 20 s: {after[3]}")
    assert during[3]["seconds_to_critical"] is not None
    assert during[4]["last_1s"] > 200
    assert after[3]["seconds_to_exhausted"] is None
    assert course.reached(1.0) is None


def test_stop_is_seen(courses: dict[str, Course]) -> None:
    """1,620 connections, and then none: nothing more will happen, and nothing more did."""
    course = courses["stop"]
    before, after = course.at(15), course.at(29)
    assert before[3]["seconds_to_critical"] is not None
    assert (after[3]["seconds_to_critical"], after[4]["last_10s"]) == (None, 0)
    assert after[5] == "falling"
    assert course.reached(0.5) is None

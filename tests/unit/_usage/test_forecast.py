# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""History and forecast on populations whose past is known."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loads import CRITICAL, DAYS, LOADS, PARTS, USABLE, Past, best_share_good, is_good, is_within, on_the_way, simulate

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.forecast import Forecast, forecast
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import Waiting

HOLD = 60000


def ticks(ages_ms: Iterable[float]) -> Counter[int]:
    """TIME_WAIT sockets of these ages, as a reader counts them."""
    return Counter(max(0, int(HOLD - age)) >> 8 for age in ages_ms)


def steady(rate: float, since_ms: int, until_ms: int = 0) -> list[float]:
    """Ages of connections closed at a rate per second, from since_ms ago until until_ms ago."""
    gap = 1000 / rate
    return [until_ms + gap * index for index in range(int((since_ms - until_ms) / gap))]


@pytest.mark.parametrize("rate", [10, 47, 300, 2000])
@pytest.mark.parametrize("window", [1000, 10000, 60000])
def test_rate_of_a_steady_load(rate: int, window: int) -> None:
    assert Waiting(ticks(steady(rate, 60000)), HOLD).closed_per_second(window) == pytest.approx(rate, rel=0.1)


def test_rates_of_a_load_that_stopped() -> None:
    history = Waiting(ticks(steady(100, 40000, 20000)), HOLD)
    assert history.closed_per_second(1000) == 0
    assert history.closed_per_second(10000) == 0
    assert history.closed_per_second(60000) == pytest.approx(100 * 20 / 60, rel=0.05)


@pytest.mark.parametrize(
    ("ages", "hold", "expected"),
    [
        (steady(100, 60000), HOLD, "steady"),
        (steady(100, 10000) + steady(50, 60000, 10000), HOLD, "rising"),
        (steady(10, 10000) + steady(100, 60000, 10000), HOLD, "falling"),
        (steady(100, 60000, 30000), HOLD, "falling"),
        (steady(100, 5000), HOLD, "rising"),
        (steady(0.2, 60000), HOLD, None),
        ([], HOLD, None),
        (steady(100, 60000), 1000, None),  # the past is gone where ports are reused
    ],
)
def test_trend(ages: list[float], hold: int, expected: str | None) -> None:
    assert Waiting(ticks(ages), hold).trend() == expected


@pytest.mark.parametrize(("until_ms", "expected"), [(0, "rising"), (5000, "falling")])
def test_what_changed_within_the_last_seconds_is_the_trend(until_ms: int, expected: str) -> None:
    """A burst that ended 5 s ago was above all that came before, and yet is not rising any more."""
    burst = Waiting(ticks(steady(500, until_ms + 2000, until_ms)), HOLD)
    assert burst.trend() == "rising"
    assert burst.trend(forecast(burst, 0, 10000, 0.5).rate) == expected


def test_steady_load_that_fits() -> None:
    """100 per second hold 6,000 ports for ever: 0.6 of 10,000."""
    seen = forecast(Waiting(ticks(steady(100, 30000)), HOLD), live=0, usable=10000, critical=0.5)
    assert seen.saturation == pytest.approx(0.6, rel=0.02)
    assert seen.seconds_to_critical == pytest.approx(20, abs=0.6)  # 3,000 now, 5,000 in 20 s
    assert seen.seconds_to_exhausted is None


def test_steady_load_that_does_not_fit() -> None:
    seen = forecast(Waiting(ticks(steady(500, 10000)), HOLD), live=0, usable=20000, critical=0.5)
    assert seen.saturation == pytest.approx(1.5, rel=0.02)
    assert seen.seconds_to_critical == pytest.approx(10, abs=0.6)
    assert seen.seconds_to_exhausted == pytest.approx(30, abs=0.6)


def test_no_load_is_no_danger() -> None:
    """All were closed 20 to 40 s ago: they end, and nothing follows."""
    seen = forecast(Waiting(ticks(steady(300, 40000, 20000)), HOLD), live=10, usable=8000, critical=0.8)
    assert (seen.rate, seen.saturation) == (0, pytest.approx(10 / 8000, abs=1e-4))
    assert seen[3:] == (None, None, None, None)


def test_with_reuse_only_the_delay_counts() -> None:
    """1,000 per second hold 1,000 ports if a port is free again after 1 s."""
    seen = forecast(Waiting(ticks(steady(1000, 3000)), 1000), live=0, usable=4000, critical=0.5)
    assert seen.saturation == pytest.approx(0.25, rel=0.1)
    assert (seen.seconds_to_critical, seen.seconds_to_exhausted) == (None, None)


def test_there_already() -> None:
    seen = forecast(Waiting(ticks(steady(100, 10000)), HOLD), live=5, usable=1000, critical=0.5, exhausted=True)
    assert (seen.seconds_to_critical, seen.seconds_to_exhausted) == (0, 0)
    assert forecast(Waiting({}, HOLD), live=0, usable=0, critical=0.5).seconds_to_exhausted == 0


@pytest.mark.parametrize("hold", [1, 96, 97, 98, 1000, 2000, 59744, 59745, 59746, HOLD])
def test_a_socket_blocks_while_it_may_be_younger_than_the_hold_time(hold: int) -> None:
    """A tick has 256 ms, so that 97 ms and 59,745 ms are where one tick more or less counts."""
    youngest = {tick: HOLD - min(HOLD, (tick << 8) + 255) for tick in range(256)}
    assert [tick for tick in youngest if Waiting({tick: 1}, hold).blocking] == [
        tick for tick, age in youngest.items() if age < hold
    ]


@given(st.lists(st.integers(0, 63999), max_size=300), st.integers(0, 50), st.integers(1, 60000), st.integers(1, 2000))
def test_what_always_holds(ages: list[int], live: int, hold: int, usable: int) -> None:
    waiting = Waiting(ticks(ages), hold)
    blocked = waiting.blocking
    assert sum(1 for age in ages if age < min(hold, HOLD)) <= blocked <= len(ages)
    seen = forecast(waiting, live, usable, 0.5)
    critical, exhausted = seen.seconds_to_critical, seen.seconds_to_exhausted
    assert (critical == 0) == (live + blocked >= usable / 2)
    if exhausted is not None:
        assert critical is not None
        assert critical <= exhausted
    if seen.saturation >= 1.001 and not seen.slope and not waiting.reused:
        assert exhausted is not None
        assert exhausted <= hold / 1000 + 8
    for seconds, between in ((critical, seen.critical_between), (exhausted, seen.exhausted_between)):
        if between:
            earliest, latest = between
            assert earliest is not None
            assert seconds is None or earliest <= seconds
            assert latest is None or (seconds is not None and seconds <= latest)


def seen_at(past: Past, at: float) -> Forecast:
    return forecast(past.waiting(at), 0, USABLE, CRITICAL)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", LOADS)
def test_every_load(name: str, part: float) -> None:
    load = LOADS[name]
    past = simulate(load)
    at, left = on_the_way(load, past, part)
    seen = seen_at(past, at)
    assert is_good(seen.seconds_to_critical, left), (seen, left)


@pytest.mark.parametrize("name", [*LOADS, *DAYS])
def test_loads_at_random(name: str) -> None:
    """No forecast can know what comes at random, nor what a day will bring; an interval tells that it is not sure."""
    load, right, exact, asked = {**LOADS, **DAYS}[name], 0, 0, 0
    for seed in range(12):
        past = simulate(load, random.Random(seed))
        for part in PARTS:
            at, left = on_the_way(load, past, part)
            seen = seen_at(past, at)
            good = is_good(seen.seconds_to_critical, left)
            within = is_within(seen.critical_between, left)
            asked, exact, right = asked + 1, exact + good, right + (good or within)
    assert right >= 0.9 * asked
    assert name in DAYS or exact >= 0.5 * asked


def test_no_forecast_of_a_random_load_can_be_good_so_early() -> None:
    """At a quarter of its way the ramp was seen for 9 s, a day of 10 minutes (10 to 50 per second) for 48 s."""
    assert best_share_good(rate=38, slope=2, seen=9, left=27, net=92) < 0.5
    assert best_share_good(rate=12, slope=0.1, seen=48, left=144, net=10) < 0.35
    assert best_share_good(rate=74, slope=2, seen=27, left=9, net=92) > 0.95


@given(st.floats(5, 2000), st.floats(3, 60), st.sampled_from([1, 7]), st.integers(0, 9))
def test_no_trouble_after_a_stop(rate: float, lasted: float, seed: int, later: int) -> None:
    """10 s after a load has stopped, however long it lasted and however it came."""
    dice = random.Random(seed)
    ages = [10000 + later * 1000 + dice.uniform(0, lasted * 1000) for _number in range(int(rate * lasted))]
    waiting = Waiting(ticks(age for age in ages if age < HOLD), HOLD)
    if waiting.blocking < 0.5 * (usable := int(rate * lasted) + 10):
        seen = forecast(waiting, 0, usable, 0.5)
        assert (seen.seconds_to_critical, seen.critical_between) == (None, None)


@pytest.mark.parametrize("seed", range(20))
def test_near_the_limit_of_reuse_nothing_is_certain(seed: int) -> None:
    """95% of the rate that can be sustained, without a failure: it is critical, and nobody runs out of ports."""
    dice, usable = random.Random(seed), 400
    ages = [dice.uniform(0, 4000) for _number in range(int(0.95 * usable * 4))]
    seen = forecast(Waiting(ticks(ages), 1000), 0, usable, 0.5)
    assert seen.seconds_to_critical == 0
    assert seen.seconds_to_exhausted is None


def test_while_attempts_fail_the_load_has_not_ended() -> None:
    waiting = Waiting(ticks(steady(100, 40000, 30000)), HOLD)
    assert forecast(waiting, 0, 1000, 0.5, exhausted=True).saturation == 1
    assert forecast(waiting, 0, 1000, 0.5).saturation == 0


def test_slow_timers_are_seen() -> None:
    """A steady load of which the kernel keeps each socket for 62 s: the steady state is that higher."""
    found = ticks(steady(50, 60000))
    found[0] += 100
    seen = forecast(Waiting(found, HOLD), 0, 6000, 0.51)
    assert seen.seconds_to_critical is not None
    assert forecast(Waiting(found, HOLD), 0, 6000, 0.53).seconds_to_critical is None


@given(st.lists(st.integers(0, 59999), max_size=100), st.integers(1, 59999))
def test_how_long_a_closed_connection_is_known_may_differ(ages: list[int], hold: int) -> None:
    """Shifted by two minutes of longer memory, the same ages give the same numbers."""
    shift = 468  # ticks of 256 ms
    waiting = Waiting(ticks(ages), hold)
    longer = Waiting({tick + shift: number for tick, number in waiting.ticks.items()}, hold, HOLD + shift * 256)
    assert longer.blocking == waiting.blocking
    assert longer.current_rate() == waiting.current_rate()
    assert forecast(longer, 3, 500, 0.5) == forecast(waiting, 3, 500, 0.5)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule of a stress, on a clock of its own; and where it would go."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.load import LATE_STARTS, Pace, addresses

rates = st.floats(min_value=0.5, max_value=20000)
delays = st.lists(st.floats(min_value=0, max_value=2), max_size=50)


def starts(rate: float, moments: Iterable[float]) -> list[float]:
    """When a client that looks at the clock at these moments starts connections."""
    pace = Pace(rate, 0.0)
    started = []
    for now in moments:
        while not pace.wait(now):
            pace.started(now)
            started.append(now)
    return started


def test_even() -> None:
    assert len(starts(300, [tick / 1000 for tick in range(5000)])) == 1500


def test_waits_for_the_next_start() -> None:
    pace = Pace(10, 5.0)
    assert pace.wait(5.0) == 0
    pace.started(5.0)
    assert round(pace.wait(5.03), 6) == 0.07


def test_no_rate_never_waits() -> None:
    pace = Pace(0, 5.0)
    for _unused in range(10):
        assert pace.wait(5.0) == 0
        pace.started(5.0)


def test_stall_is_not_caught_up() -> None:
    assert len(starts(1000, [0.0, 10.0])) <= 2 + LATE_STARTS * 1000


@given(rates, delays)
def test_never_more_than_rate_and_a_little(rate: float, delays: list[float]) -> None:
    moments = [sum(delays[:index]) for index in range(len(delays) + 1)]
    started = starts(rate, moments)
    for index, first in enumerate(started[:: max(1, len(started) // 10)]):
        within = [moment for moment in started if first <= moment <= first + 1]
        assert len(within) <= rate * (1 + LATE_STARTS) + 2, index


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9/", [socket.inet_aton("127.0.0.1")]),
        ("http://[::1]:9/", [socket.inet_pton(socket.AF_INET6, "::1")]),
        ("http://nobody.invalid/", []),
    ],
)
def test_addresses_of_a_url(url: str, expected: list[bytes]) -> None:
    pytest.importorskip("pycurl")
    assert addresses(url, 5.0) == expected

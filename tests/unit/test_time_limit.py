# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an action may take; the alarm is raised by hand."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._time_limit import OutOfTimeError, within


class OfTheTaskError(BaseException):
    """What ansible-core raises where the keyword of the task sets a limit."""


@pytest.fixture(autouse=True)
def of_the_task() -> Iterator[None]:
    def end(*_arguments: object) -> None:
        raise OfTheTaskError

    before = signal.signal(signal.SIGALRM, end)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def work(seconds: int) -> None:
    """Takes too long, and handles errors of its own."""
    with within(seconds), contextlib.suppress(Exception):
        signal.raise_signal(signal.SIGALRM)


def test_what_takes_longer_is_ended_and_no_handler_of_errors_keeps_it() -> None:
    with pytest.raises(OutOfTimeError, match="it did not answer within 300 s"):
        work(300)


@pytest.mark.parametrize(("seconds", "keyword"), [(0, 0), (0, 900), (300, 200), (-1, 900)])
def test_without_a_limit_that_is_shorter_that_of_the_task_stays(seconds: int, keyword: int) -> None:
    signal.alarm(keyword)
    with pytest.raises(OfTheTaskError):
        work(seconds)
    assert bool(signal.alarm(0)) == bool(keyword)


def test_afterwards_that_of_the_task_goes_on() -> None:
    signal.alarm(900)
    with within(300):
        pass
    assert 800 < signal.alarm(0) <= 900
    with pytest.raises(OfTheTaskError):
        signal.raise_signal(signal.SIGALRM)
    with within(300):
        pass
    assert signal.alarm(0) == 0

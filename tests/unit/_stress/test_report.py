# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outcome of a stress means."""

from __future__ import annotations

import errno
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress import report
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.load import Limits, LoadResult
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.report import Counters, percentile

NAMES = {7: "CURLE_COULDNT_CONNECT", 28: "CURLE_OPERATION_TIMEDOUT"}
NO_SOURCE = "no local address to connect from"

times = st.lists(st.floats(min_value=0, max_value=100), min_size=1).map(sorted)


@pytest.mark.parametrize(("percent", "expected"), [(50, 3), (90, 5), (99, 5), (100, 5), (20, 1), (21, 2), (0, 1)])
def test_percentile(percent: float, expected: float) -> None:
    assert percentile([1, 2, 3, 4, 5], percent) == expected


@given(times, st.floats(min_value=0, max_value=100))
def test_percentile_is_the_smallest_that_covers(ordered: list[float], percent: float) -> None:
    found = percentile(ordered, percent)
    assert found in ordered
    needed = percent / 100 * len(ordered)
    assert sum(value <= found for value in ordered) >= needed - 1e-9
    assert sum(value < found for value in ordered) < max(needed, 1) + 1e-9


def test_connect_times() -> None:
    assert report.connect_times([]) == {"p50": None, "p90": None, "p99": None, "max": None}
    assert report.connect_times([0.002, 0.0010004]) == {"p50": 1.0, "p90": 2.0, "p99": 2.0, "max": 2.0}


def test_curl_names_are_those_of_libcurl() -> None:
    constants = {
        "E_COULDNT_CONNECT": 7,
        "E_MULTI_ADDED_ALREADY": 7,
        "E_HTTP_NOT_FOUND": 22,
        "E_HTTP_RETURNED_ERROR": 22,
        "E_FTP_CANT_RECONNECT": 16,
        "E_HTTP2": 16,
        "E_OPERATION_TIMEOUTED": 28,
        "E_OPERATION_TIMEDOUT": 28,
        "E_CALL_MULTI_PERFORM": -1,
        "URL": 10002,
    }
    assert report.curl_names(constants) == {
        7: "CURLE_COULDNT_CONNECT",
        16: "CURLE_HTTP2",
        22: "CURLE_HTTP_RETURNED_ERROR",
        28: "CURLE_OPERATION_TIMEDOUT",
    }


@pytest.mark.parametrize(
    ("pair", "names", "words"),
    [
        ((7, errno.EADDRNOTAVAIL), ("CURLE_COULDNT_CONNECT", "EADDRNOTAVAIL"), "ephemeral port exhaustion"),
        ((7, errno.ECONNREFUSED), ("CURLE_COULDNT_CONNECT", "ECONNREFUSED"), "not port exhaustion"),
        ((7, errno.ETIMEDOUT), ("CURLE_COULDNT_CONNECT", "ETIMEDOUT"), "not answered"),
        ((28, 0), ("CURLE_OPERATION_TIMEDOUT", None), "no answer in time"),
        ((28, errno.EINPROGRESS), ("CURLE_OPERATION_TIMEDOUT", "EINPROGRESS"), "no answer in time"),
        ((7, 9999), ("CURLE_COULDNT_CONNECT", None), None),
        ((999, 0), (None, None), None),
    ],
)
def test_errors_are_named(pair: tuple[int, int], names: tuple[str | None, str | None], words: str | None) -> None:
    (record,) = report.describe_errors({pair: 3}, NAMES)
    assert (record["curl_code"], record["errno"], record["count"]) == (*pair, 3)
    assert (record["curl_name"], record["errno_name"]) == names
    assert record["meaning"] is None if words is None else words in record["meaning"]


def test_only_99_counts_as_port_exhaustion() -> None:
    assert [pair for pair, text in report.MEANINGS.items() if "(ephemeral port exhaustion)" in text] == [
        (7, errno.EADDRNOTAVAIL)
    ]


def outcome(succeeded: int, errors: dict[tuple[int, int], int]) -> LoadResult:
    return LoadResult(succeeded, errors, array("d", [0.001] * succeeded), 2.0, "total", 0)


def asked(total: int) -> Limits:
    return Limits(total, 60.0, 300.0, 10, 5.0)


def test_report() -> None:
    errors = {(7, errno.ECONNREFUSED): 1, (7, errno.EADDRNOTAVAIL): 6, (28, 0): 1}
    result = report.report("http://u:p@x/?q", asked(10), outcome(2, errors), NAMES, Counters(1, 5), Counters(3, 5))
    assert [record["count"] for record in result.pop("errors")] == [6, 1, 1]
    assert result == {
        "kind": "load",
        "url": "http://x/",
        "asked": {"total": 10, "rate": 300.0},
        "attempted": 10,
        "succeeded": 2,
        "failures": 8,
        "port_exhaustion": 6,
        "seconds": 2.0,
        "rate": 5.0,
        "connect_ms": {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0},
        "cut_off": 0,
        "time_wait": {"before": 1, "after": 3, "delta": 2},
        "tw_recycled": {"before": 5, "after": 5, "delta": 0},
        "stopped_by": "total",
    }


@pytest.mark.parametrize(("has_source", "exhausted"), [(True, 4), (False, 0)])
def test_99_for_want_of_an_address_is_not_port_exhaustion(has_source: bool, exhausted: int) -> None:
    """However many sockets are in TIME_WAIT: they may be somebody else's."""
    errors = {(7, errno.EADDRNOTAVAIL): 4, (7, errno.ECONNREFUSED): 1}
    result = report.report(
        "http://x/", asked(5), outcome(0, errors), NAMES, Counters(500, 0), Counters(None, 0), has_source
    )
    assert result["time_wait"] is None
    meanings = [one["meaning"] for one in result["errors"]]
    assert (NO_SOURCE in meanings[0]) is not has_source
    assert "nobody listens" in meanings[1]
    assert result["port_exhaustion"] == exhausted


def test_too_many_failures_are_summarised() -> None:
    result = report.report(
        "http://x/", asked(8), outcome(2, {(7, errno.EADDRNOTAVAIL): 6}), NAMES, Counters(0, 0), Counters(2, 0)
    )
    assert report.why_no_proof(result, 5) == (
        "6 of 8 connections to http://x/ failed, more than max_failed=5: 6 x curl error 7 (CURLE_COULDNT_CONNECT), "
        f"errno {errno.EADDRNOTAVAIL} (EADDRNOTAVAIL): {report.NO_FREE_PORT}"
    )
    assert report.why_no_proof(result, 6) is None


def test_less_than_was_asked_for_proves_nothing() -> None:
    load = outcome(30, {})._replace(stopped_by="time_limit")
    result = report.report("http://x/", asked(1500), load, NAMES, Counters(0, 0), Counters(2, 0))
    assert report.why_no_proof(result, 0) == (
        "30 of 1500 connections to http://x/ were opened within time_limit: a load that is less than what was asked "
        "for proves nothing"
    )

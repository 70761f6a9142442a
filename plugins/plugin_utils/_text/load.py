# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in words what a stress did."""

from __future__ import annotations

from ...module_utils._common.layout import indented, labelled
from ...module_utils._common.text import format_number
from .._model import ConnectTimes, LoadError, LoadResult

# Of a rate that was asked for, from which on it is called that.
AS_ASKED = 0.95


def describe_load(load: LoadResult) -> list[str]:
    """Lines for the result of curl_stress."""
    lines = [load_verdict(load)]
    for error in load["errors"]:
        lines += indented(f"{error['count']} x {format_error(error)}", indent=2, hanging=4)
    stopped = ", stopped by the time limit" if load["stopped_by"] == "time_limit" else ""
    slow = load["rate"] < load["asked"]["rate"] * AS_ASKED
    asked = f" instead of {format_number(load['asked']['rate'])}" if slow else ""
    rate = f"{format_number(load['rate'])} new connections per second{asked}"
    lines += labelled("Rate", f"{rate} for {load['seconds']:.1f} s{stopped}.")
    times = [f"{name} {ms:.2f} ms" for name, ms in _percentiles(load["connect_ms"]) if ms is not None]
    if times:
        lines += labelled("Connect", f"{', '.join(times)}.")
    waiting, recycled = load["time_wait"], load["tw_recycled"]
    before_and_after = f"{waiting['before']} before, {waiting['after']} after; " if waiting else ""
    lines += labelled("TIME_WAIT", f"{before_and_after}{recycled['delta']} ports reused out of TIME_WAIT.")
    if load["cut_off"]:
        what = f"{load['cut_off']} answers were longer than what is read and were cut off"
        lines += labelled("Note", f"{what}. Such a connection leaves no TIME_WAIT: aim at a shorter answer.")
    return lines


def load_verdict(load: LoadResult) -> str:
    """All is said only of all that was asked for."""
    attempted, total, url, failed = load["attempted"], load["asked"]["total"], load["url"], load["failures"]
    if failed:
        return f"FAILED: {failed} of {attempted} connections to {url} failed."
    if attempted < total:
        return f"INCOMPLETE: {attempted} of {total} connections to {url} were opened in time; none of them failed."
    return f"PASSED: all {attempted} connections to {url} succeeded."


def _percentiles(times: ConnectTimes) -> list[tuple[str, float | None]]:
    return [("p50", times["p50"]), ("p90", times["p90"]), ("p99", times["p99"]), ("max", times["max"])]


def format_error(error: LoadError) -> str:
    """Both numbers with their names, and what they mean where that is known."""

    def named(label: str, number: int, name: str | None) -> str:
        return f"{label} {number} ({name})" if name else f"{label} {number}"

    codes = named("curl", error["curl_code"], error["curl_name"]), named("errno", error["errno"], error["errno_name"])
    return ", ".join(codes) + (f": {error['meaning']}" if error["meaning"] else "")

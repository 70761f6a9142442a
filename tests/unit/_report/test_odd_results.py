# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has passed the border can be told, whatever it says: no odd result costs anybody the report."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
from simulated_fleet import META, REMEDIATION, ROLLOUT, remediation

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import (
    write_csv,
    write_html,
    write_json,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from .hearing import AFTER, APPLY, CHANGE, EXHAUSTED, IDLE, LOAD, LOOK, PLAN, ROLLED_BACK, STRESS, Result, fleet_of

NUMBERS = [0, -1, 2**63, 0.0, -0.5, 1e19]
OTHERS = [None, True, "", "\x1b[2J\u202e", "x" * 8000, [], {}]

RESULTS = {
    "usage": (LOOK, EXHAUSTED),
    "idle": (LOOK, IDLE),
    "apply": (APPLY, CHANGE),
    "load": (STRESS, LOAD),
    "outcome": (ROLLOUT, ROLLED_BACK),
    "remediation": (REMEDIATION, remediation(None, PLAN, CHANGE)),
}


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """The way to every value in a result; of lists the first item."""
    yield path, value
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*path, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def planted(result: Result, path: tuple[Any, ...], odd: object) -> Result:
    changed = copy.deepcopy(result)
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = odd
    return changed


def told(*events: tuple[Any, ...]) -> None:
    """The report in all its forms. The honest host is told rightly."""
    fleet = fleet_of(("honest", LOOK, EXHAUSTED), *events)
    report = make_report(fleet.hosts, META)
    lines = summary_lines(report)
    assert all(line.text.isprintable() for line in lines)
    assert max(len(line.text) for line in lines) <= 100
    assert len(lines) < 100
    assert report["hosts"][0]["usage"] == EXHAUSTED
    for write in (write_json, write_csv, write_html):
        write(report, io.StringIO())


def described(result: Result) -> list[str]:
    """Its lines, or why it is refused."""
    try:
        return describe(result)
    except ValueError as error:
        return [str(error)]


@pytest.mark.parametrize("name", RESULTS)
def test_odd_values_anywhere(name: str) -> None:
    action, result = RESULTS[name]
    for path, value in [*places(result)][1:]:
        for odd in NUMBERS if isinstance(value, (int, float)) else OTHERS:
            changed = planted(result, path, odd)
            told(("odd", action, changed))
            assert all(line.isprintable() for line in described(changed))


@pytest.mark.parametrize("odd", NUMBERS)
def test_odd_numbers_before_and_after_a_change(odd: float) -> None:
    for path, value in [*places(EXHAUSTED["pools"][0])][1:]:
        if isinstance(value, (int, float)):
            pools = [planted(EXHAUSTED["pools"][0], path, odd)]
            before, after = {**EXHAUSTED, "pools": pools}, {**AFTER, "pools": pools}
            told(("odd", REMEDIATION, remediation(before, PLAN, CHANGE)), ("odd", LOOK, after))

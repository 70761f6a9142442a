# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of a fleet that is well."""

from __future__ import annotations

import io
from typing import Any

import pytest
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import render
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import GOOD, summary_lines

from .hearing import EXHAUSTED, IDLE, LOOK, fleet_of, report_of

COUNTED = {**IDLE, "method": "sockstat", "pools": [], "port_range": {**IDLE["port_range"], "usable": 1000}}


def with_pool(**different: object) -> Any:
    return {
        **IDLE,
        "pools": [{**EXHAUSTED["pools"][0], "level": "ok", "address": "198.18.0.1", "port": 443, **different}],
    }


def page_of(*usages: Any) -> str:
    file = io.StringIO()
    file.writelines(render(report_of(*((f"web{number}", LOOK, usage) for number, usage in enumerate(usages, 1)))))
    return file.getvalue()


@pytest.mark.parametrize(
    ("usages", "sentence"),
    [
        ([{**COUNTED, "blocked_at_most": 0}] * 2, "No local port is blocked towards any destination."),
        ([{**COUNTED, "blocked_at_most": number} for number in (3, 70)],
         "No destination blocks more than 7% of the local ports of a host."),
        ([{**COUNTED, "blocked_at_most": 1}] * 2, "No destination blocks more than 1% of the local ports of a host."),
        ([{**COUNTED, "blocked_at_most": 70}, with_pool(saturation=0.1201)],
         "At most 13% of the local ports of a host are blocked, those of web2 towards 198.18.0.1:443."),
    ],
)  # fmt: skip
def test_hosts_that_are_all_ok_say_how_far_they_are_from_the_limit(usages: list[Any], sentence: str) -> None:
    lines = summary_lines(report_of(*((f"web{number}", LOOK, usage) for number, usage in enumerate(usages, 1))))
    assert (lines[0].text, lines[0].tone) == ("2 hosts: all ok.", GOOD)
    assert lines[1].text == sentence
    assert f'<p class="lead">{sentence}' in page_of(*usages)


def test_nothing_is_said_of_all_where_one_is_not_ok() -> None:
    fleet = fleet_of(("web1", LOOK, {**COUNTED, "blocked_at_most": 0}))
    fleet.on_failure("web2", [], "No route to host", unreachable=True)
    text = "\n".join(line.text for line in summary_lines(make_report(fleet.hosts, META)))
    assert text.startswith("2 hosts: 1 ok, 1 unknown. In this run: 1 unreachable, 1 observed.")
    assert "is blocked" not in text


def test_the_page_too_says_what_was_not_observed() -> None:
    usage = {**COUNTED, "blocked_at_most": 0, "not_observed": [{"what": "namespaces", "number": 4, "why": "elsewhere"}]}
    told = "Not observed: other network namespaces on 2 hosts."
    assert told in page_of(usage, usage)


def test_bars_of_no_height_are_not_drawn() -> None:
    assert "<figure" not in page_of({**COUNTED, "blocked_at_most": 9})
    assert "<figure" in page_of({**COUNTED, "blocked_at_most": 11})

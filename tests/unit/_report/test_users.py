# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects, in the report: beside the destination, and what it makes of the host."""

from __future__ import annotations

import csv
import io
from typing import Any

from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import files, page
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines

from .hearing import AFTER, APPLY, CHANGE, EXHAUSTED, IDLE, LOOK, fleet_of, only_host, report_of

WHO = "netops.ephemeral_ports.port_users_info"
POOL, INODE = EXHAUSTED["pools"][0], EXHAUSTED["namespace"]["inode"]
USERS: dict[str, Any] = RECORDED["users"]
USER = {**USERS["users"][0], "address": POOL["address"], "port": POOL["port"], "namespace": INODE}
HERE = {**USERS, "users": [USER]}
ELSEWHERE = {**USERS, "users": [{**USER, "namespace": INODE + 1}]}
WELL = {**USERS, "no_port": 0, "users": [{**USER, "no_port": 0}]}
NOT_TRACED = {**USERS, "traced": False, "why_not": "no <tracefs>", "no_port": 0, "users": [], "users_found": 0}
TOWARDS = f"{POOL['address']}:{POOL['port']}"
TOLD = "shop worker-1 of podman web, 55/s, 10 failed"


def html(*events: tuple[Any, ...]) -> str:
    return "".join(page.render(report_of(*events)))


def terminal(*events: tuple[Any, ...]) -> list[str]:
    return [line.text for line in summary_lines(report_of(*events))]


def test_the_last_trace_is_kept() -> None:
    assert only_host(fleet_of(("web1", LOOK, IDLE)))["users"] is None
    assert only_host(fleet_of(("web1", WHO, HERE), ("web1", WHO, WELL)))["users"] == WELL


def test_a_host_whose_connects_fail_is_not_ok() -> None:
    for users, level in ((ELSEWHERE, "exhausted"), (WELL, "ok"), (NOT_TRACED, "ok")):
        assert only_host(fleet_of(("web1", LOOK, IDLE), ("web1", WHO, users)))["level"] == level


def test_after_a_change_the_new_usage_counts() -> None:
    events = ("web1", LOOK, EXHAUSTED), ("web1", WHO, HERE), ("web1", APPLY, CHANGE), ("web1", LOOK, AFTER)
    assert only_host(fleet_of(*events))["level"] == "ok"


def test_the_page_names_them_beside_the_destination() -> None:
    text = html(("web1", LOOK, EXHAUSTED), ("web1", WHO, HERE))
    beside = [row for row in text.split("<tr>") if f"<td>{TOLD}</td></tr>" in row]
    assert [f"<code>{TOWARDS}</code>" in row for row in beside] == [True]
    assert "Who connects" in text
    assert "FAILING: 10 of 110 connects in 2.0 s found no local port." in text
    assert "Who connects" not in html(("web1", LOOK, EXHAUSTED))


def test_the_page_where_another_namespace_fails() -> None:
    text = html(("web1", LOOK, IDLE), ("web1", WHO, ELSEWHERE))
    assert '<p class="verdict">FAILING: 10 of 110 connects in 2.0 s found no local port.</p>' in text
    assert "podman web" in text


def test_the_page_says_why_nothing_was_traced() -> None:
    assert "NOT TRACED: no &lt;tracefs&gt;." in html(("web1", LOOK, IDLE), ("web1", WHO, NOT_TRACED))


def test_the_terminal() -> None:
    lines = terminal(("web1", LOOK, IDLE), ("web1", WHO, ELSEWHERE), ("web2", LOOK, IDLE), ("web2", WHO, WELL))
    assert lines[0] == "2 hosts: 1 exhausted, 1 ok."
    assert ["web1", "exhausted", "connects", "fail"] in [line.split() for line in lines]
    at = lines.index("Connects that found no local port")
    assert lines[at + 1].split() == ["host", "program", "of", "towards", "connects/s", "failed"]
    assert lines[at + 2].split() == ["web1", "shop", "worker-1", "podman", "web", TOWARDS, "55", "10"]
    assert lines[at + 3 :] == []


def test_csv_names_them() -> None:
    file = io.StringIO()
    files.write_csv(report_of(("web1", LOOK, EXHAUSTED), ("web1", WHO, HERE), ("web2", LOOK, EXHAUSTED)), file)
    rows = [row for row in csv.DictReader(io.StringIO(file.getvalue())) if row["destination_rank"] == "1"]
    assert [row["users"] for row in rows] == [TOLD, ""]


def test_who_has_the_live_connections_is_beside_the_destination() -> None:
    """Also where nothing was traced."""
    live_by = [{"owner": "podman <web>", "program": "php-fpm", "pid": 4711, "processes": 1, "live": 90}]
    host = {**EXHAUSTED, "pools": [{**POOL, "live_by": live_by}, *EXHAUSTED["pools"][1:]]}
    text = html(("web1", LOOK, host))
    assert "<td>90 live of php-fpm of podman &lt;web&gt; (pid 4711)</td></tr>" in text
    assert '<th scope="col">Who connects</th>' in text
    file = io.StringIO()
    files.write_csv(report_of(("web1", LOOK, host)), file)
    first, *rest = csv.DictReader(io.StringIO(file.getvalue()))
    assert first["live_by"] == "90 live of php-fpm of podman <web> (pid 4711)"
    assert {row["live_by"] for row in rest} <= {""}

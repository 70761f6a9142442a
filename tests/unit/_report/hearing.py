# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells the report, for tests."""

from __future__ import annotations

from typing import Any

from simulated_fleet import META, RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import HostReport, Report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report

Result = dict[str, Any]

LOOK, APPLY, STRESS = (f"netops.ephemeral_ports.{name}" for name in ("port_usage_info", "sysctl_dropin", "curl_stress"))
IDLE, EXHAUSTED = RECORDED["usage"]["idle"], RECORDED["usage"]["exhausted"]
PLAN, CHANGE = RECORDED["remediated"]["plan"], RECORDED["remediated"]["changes"][0]
AFTER, LOAD = RECORDED["remediated"]["usage_after"], RECORDED["remediated"]["stress"][0]
ROLLBACK = {**CHANGE, "file": "removed"}
GATE = {"passed": False, "checks": [{"id": "listeners", "status": "failed", "message": "Gone.", "evidence": {}}]}


def outcome(state: str, **different: object) -> Result:
    return {
        "kind": "outcome",
        "state": state,
        "reason": None,
        "wave": None,
        "not_curable": None,
        "gate": None,
        **different,
    }


ROLLED_BACK = outcome("rolled_back", reason="listeners: Gone.", wave=2, gate=GATE)


def fleet_of(*events: tuple[Any, ...]) -> Fleet:
    """A fleet that heard of these in a play of this collection: (host, action, result[, check])."""
    fleet = Fleet()
    fleet.on_play()
    fleet.on_task(LOOK)
    for event in events:
        fleet.on_result(*event)
    return fleet


def report_of(*events: tuple[Any, ...]) -> Report:
    return make_report(fleet_of(*events).hosts, META)


def only_host(fleet: Fleet) -> HostReport:
    (host,) = make_report(fleet.hosts, META)["hosts"]
    return host

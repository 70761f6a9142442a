# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report that has all that a page can show: also network namespaces, owners, a gateway and history."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from simulated_fleet import META, RECORDED, make_fleet

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._gateway import read_gateway
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.days import compare
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.merge import Merging

LOOK, WHO, NAMESPACE_SYSCTLS, STRESS = (
    f"netops.ephemeral_ports.{name}"
    for name in ("port_usage_info", "port_users_info", "namespace_sysctls", "curl_stress")
)
IDLE, EXHAUSTED, USERS = RECORDED["usage"]["idle"], RECORDED["usage"]["exhausted"], RECORDED["users"]
CONTAINER = {
    "own": False,
    "inode": 4026532999,
    "cookie": None,
    "name": None,
    "owner": {"kind": "podman", "name": "checkout-worker", "id": "1f0c", "container": None},
    "pid": 4711,
    "program": "nginx",
}
BEHIND = read_gateway({"gateway": "nat-eu1", "ports": 400, "drops_from": 1}, "web1")


def full_report(directory: Path) -> Report:
    """directory: for the reports that it is put together from, and compared with."""
    slices = [directory / name for name in ("slice1", "slice2", "slice3")]
    write_report(make_report(make_fleet(40, seed=1).hosts, META), slices[0])
    write_report(make_report(make_fleet(25, seed=2, remediate=True).hosts, META), slices[1])
    write_report(make_report(_special().hosts, META), slices[2])
    earlier = {**META, "ended": "2026-11-20T06:00:00+00:00"}
    write_report(make_report(make_fleet(40, seed=3).hosts, earlier), directory / "earlier")
    merging = Merging()
    for one in slices:
        merging.take(one / "report.json")
    merging.take(directory / "absent" / "report.json")
    report = make_report(merging.hosts, META)
    report["merged"] = merging.told([*(host["name"] for host in report["hosts"]), "gone.example.net"])
    report["days"] = compare(report["hosts"], [directory / "earlier" / "report.json"])
    return report


def _special() -> Fleet:
    fleet = Fleet()
    fleet.on_play()
    fleet.on_task(LOOK)
    for name, live in (("edge001.example.net", 300), ("edge002.example.net", 70)):
        fleet.on_result(name, LOOK, _behind_gateway(live))
    node = {
        **IDLE,
        "level": "exhausted",
        "namespaces": [{**EXHAUSTED, "namespace": CONTAINER}],
        "namespaces_observed": 1,
    }
    fleet.on_result("node001.example.net", LOOK, node)
    setting = {**RECORDED["remediated"]["changes"][0]["settings"][0], "status": "changed"}
    set_there = {"namespace": CONTAINER, "status": "changed", "settings": [setting]}
    applied = {"kind": "namespace_apply", "changed": True, "recovered": False, "namespaces": [set_there]}
    fleet.on_result("node001.example.net", NAMESPACE_SYSCTLS, applied)
    fleet.on_result("node002.example.net", LOOK, EXHAUSTED)
    fleet.on_result("node002.example.net", WHO, _users())
    fleet.on_result("node002.example.net", STRESS, RECORDED["remediated"]["stress"][0])
    return fleet


def _behind_gateway(live: int) -> dict[str, Any]:
    towards = {"address": "203.0.113.7", "port": 443, "usable": 28232, "live": live, "syn_resent": 5}
    outside = {
        "destinations": [{**towards, "closed": [], "known_seconds": 59.4}],
        "left_out": {"destinations": 0, "sockets": 0, "most": 0},
    }
    return {**IDLE, "not_observed": [], "gateway": BEHIND, "outside": outside}


def _users() -> dict[str, Any]:
    users = copy.deepcopy(USERS)
    pool = EXHAUSTED["pools"][0]
    towards = {"address": pool["address"], "port": pool["port"], "namespace": EXHAUSTED["namespace"]["inode"]}
    users["users"][0].update(towards)
    return dict(users)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have in common."""

from __future__ import annotations

import simulated_fleet
from simulated_fleet import META, RECORDED, REMEDIATION, ROLLOUT, remediation

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.host import LEVELS, STATES

from .hearing import (
    APPLY,
    CHANGE,
    EXHAUSTED,
    LOOK,
    PLAN,
    ROLLBACK,
    ROLLED_BACK,
    fleet_of,
    only_host,
    outcome,
    report_of,
)


def test_an_outcome_tells_more_than_the_failure_that_ends_the_rollout() -> None:
    fleet = fleet_of(("web1", APPLY, CHANGE), ("web1", ROLLOUT, ROLLED_BACK))
    fleet.on_failure("web1", [], "The wave was rolled back.", unreachable=False)
    fleet.finish(["web1"])
    assert only_host(fleet)["state"] == "rolled_back"
    (lost,) = make_report(fleet.hosts, META)["summary"]["lost"]
    assert lost == {"state": "rolled_back", "reason": "listeners: Gone.", "hosts": 1, "names": ["web1"]}


def test_one_cause_has_one_message() -> None:
    fleet = fleet_of()
    for name, address in (("web1", "192.0.2.1"), ("web10", "192.0.2.10"), ("web2", "192.0.2.2")):
        fleet.on_failure(name, [address], f"ssh: connect to host {address} port 22: {name}: refused", unreachable=True)
    (lost,) = make_report(fleet.hosts, META)["summary"]["lost"]
    assert lost["reason"] == "ssh: connect to host HOST port 22: HOST: refused"
    assert lost["names"] == ["web1", "web2", "web10"]


def test_findings_are_grouped_by_cause() -> None:
    report = report_of(
        ("web1", LOOK, EXHAUSTED), ("web2", LOOK, EXHAUSTED), ("web3", LOOK, RECORDED["usage"]["warning"])
    )
    found = {group["id"]: group for group in report["summary"]["findings"]}
    assert next(iter(found)) == "destination-exhausted"
    assert found["reuse-loopback-only"]["names"] == ["web1", "web2", "web3"]
    warned = found["destination-warning"]
    assert (warned["severity"], warned["hosts"], len(warned["examples"])) == ("warning", 3, 3)
    assert warned["examples"][2] == {"host": "web3", "summary": RECORDED["usage"]["warning"]["findings"][0]["summary"]}


def test_destinations_of_several_hosts_are_one() -> None:
    report = report_of(("web1", LOOK, EXHAUSTED), ("web2", LOOK, RECORDED["usage"]["critical"]))
    destinations = {group["destination"]: group for group in report["summary"]["destinations"]}
    assert next(iter(destinations)) == "198.18.0.1:8443"
    assert destinations["198.18.0.1:8081"]["hosts_in_trouble"] == 2
    assert destinations["198.18.0.1:8081"]["rate"] == 31.0  # 31 and 0 per second in the last 10 s


def test_destinations_are_sorted_by_how_many_suffer() -> None:
    full = EXHAUSTED["pools"][0]
    busy = {"last_1s": 9000.0, "last_10s": 9000.0, "last_60s": 9000.0}
    rarely = {**EXHAUSTED, "pools": [{**full, "port": 1, "rate": busy}]}
    often = {**EXHAUSTED, "pools": [{**full, "port": 2}]}
    report = report_of(("web1", LOOK, rarely), ("web2", LOOK, often), ("web3", LOOK, often))
    assert [group["destination"] for group in report["summary"]["destinations"]] == ["198.18.0.1:2", "198.18.0.1:1"]


def test_settings_are_grouped_by_what_became_of_them() -> None:
    report = report_of(
        ("web1", APPLY, CHANGE),
        ("web2", APPLY, CHANGE),
        ("web3", APPLY, CHANGE, True),
        ("web4", REMEDIATION, remediation(None, PLAN)),
        ("web5", APPLY, ROLLBACK),
    )
    reuse = [group for group in report["summary"]["settings"] if group["key"] == "net.ipv4.tcp_tw_reuse"]
    assert {group["how"]: group["names"] for group in reuse} == {
        "changed": ["web1", "web2"],
        "would_change": ["web3"],
        "planned": ["web4"],
        "rolled_back": ["web5"],
    }
    assert all((group["before"], group["after"]) == ("2", "1") for group in reuse)


def test_what_was_rolled_back_in_the_same_run_is_not_told_as_changed() -> None:
    back = {
        **ROLLBACK,
        "settings": [{**one, "before": one["after"], "after": one["before"]} for one in CHANGE["settings"]],
    }
    settings = report_of(("web1", APPLY, CHANGE), ("web1", APPLY, back))["summary"]["settings"]
    assert {group["how"] for group in settings} == {"rolled_back"}
    kept = {**back, "settings": back["settings"][1:]}
    settings = report_of(("web1", APPLY, CHANGE), ("web1", APPLY, kept))["summary"]["settings"]
    assert [group["key"] for group in settings if group["how"] == "changed"] == [CHANGE["settings"][0]["key"]]
    foreseen = report_of(("web1", APPLY, CHANGE), ("web1", APPLY, back, True))["summary"]["settings"]
    assert {group["how"] for group in foreseen} == {"changed", "would_change"}


def test_waves_and_hosts_not_curable() -> None:
    stuck = outcome("unchanged", not_curable="Clients bind first.")
    report = report_of(
        ("web1", ROLLOUT, outcome("changed", wave=1)),
        ("web2", ROLLOUT, ROLLED_BACK),
        ("web3", ROLLOUT, stuck),
    )
    assert report["summary"]["waves"] == [
        {"wave": 1, "hosts": 1, "states": {"changed": 1}, "names": {"changed": ["web1"]}},
        {"wave": 2, "hosts": 1, "states": {"rolled_back": 1}, "names": {"rolled_back": ["web2"]}},
        {"wave": None, "hosts": 1, "states": {"unchanged": 1}, "names": {"unchanged": ["web3"]}},
    ]
    assert report["summary"]["not_curable"] == [{"reason": "Clients bind first.", "hosts": 1, "names": ["web3"]}]


def test_a_host_that_was_lost_before_its_turn_is_in_no_wave_of_the_rollout() -> None:
    fleet = fleet_of(("web1", ROLLOUT, outcome("changed", wave=1)))
    fleet.on_failure("web2", [], "No route to host", unreachable=True)
    assert make_report(fleet.hosts, META)["summary"]["waves"][1:] == [
        {"wave": None, "hosts": 1, "states": {"unreachable": 1}, "names": {"unreachable": ["web2"]}}
    ]
    assert make_report(fleet_of(("web1", APPLY, CHANGE)).hosts, META)["summary"]["waves"] == []


def test_counts_name_every_level_and_state() -> None:
    report = make_report(simulated_fleet.make_fleet(200, remediate=True).hosts, META)
    summary = report["summary"]
    assert (tuple(summary["levels"]), tuple(summary["states"])) == (LEVELS, STATES)
    assert (
        sum(summary["levels"].values()) == sum(summary["states"].values()) == summary["hosts"] == len(report["hosts"])
    )

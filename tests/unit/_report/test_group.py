# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From events to the report: what became of each host, and what hosts have in common."""

from __future__ import annotations

import json
from typing import Any

import pytest
import simulated_fleet
from simulated_fleet import META, RECORDED, REMEDIATION, facts, remediation

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import (
    LEVELS,
    SCHEMA,
    STATES,
    Fleet,
    is_ours,
    make_report,
    natural,
    worst_first,
)

Result = dict[str, Any]

LOOK, APPLY, STRESS = (f"netops.ephemeral_ports.{name}" for name in ("port_usage_info", "sysctl_dropin", "curl_stress"))
SET_FACT = "ansible.builtin.set_fact"
IDLE, EXHAUSTED = RECORDED["usage"]["idle"], RECORDED["usage"]["exhausted"]
PLAN, CHANGE = RECORDED["remediated"]["plan"], RECORDED["remediated"]["changes"][0]
AFTER, LOAD = RECORDED["remediated"]["usage_after"], RECORDED["remediated"]["stress"][0]
ROLLBACK = {**CHANGE, "file": "removed"}
GATE = {"passed": False, "checks": [{"id": "listeners", "status": "failed", "message": "Gone.", "evidence": {}}]}
ROLLED_BACK = {"state": "rolled_back", "reason": "listeners: Gone.", "wave": 2, "not_curable": None, "gate": GATE}


def fleet_of(*events: tuple[Any, ...]) -> Fleet:
    """A fleet that heard of these in a play of this collection: (host, action, result[, check])."""
    fleet = Fleet()
    fleet.play_started()
    fleet.task_started(LOOK)
    for event in events:
        fleet.heard(*event)
    return fleet


def only_host(fleet: Fleet) -> Result:
    (host,) = make_report(fleet, META)["hosts"]
    return dict(host)


def report_of(*events: tuple[Any, ...]) -> Result:
    return make_report(fleet_of(*events), META)


def test_a_look() -> None:
    host = only_host(fleet_of(("web1", LOOK, {**IDLE, "changed": False, "invocation": {"module_args": {}}})))
    assert host["usage"] == IDLE  # what is Ansible's own is left out
    assert (host["name"], host["state"], host["level"], host["error"]) == ("web1", "observed", "ok", None)
    assert (host["usage_after"], host["plan"], host["changes"], host["stress"]) == (None, None, [], [])


@pytest.mark.parametrize("action", ["port_usage_info", "netops.ephemeral_ports.port_usage_info"])
def test_both_names_of_a_module(action: str) -> None:
    assert only_host(fleet_of(("web1", action, EXHAUSTED)))["level"] == "exhausted"


@pytest.mark.parametrize("action", ["acme.net.port_usage_info", "ansible.builtin.command", "port_usage_infos"])
def test_modules_of_others_are_passed_over(action: str) -> None:
    assert not fleet_of(("web1", action, EXHAUSTED)).hosts


@pytest.mark.parametrize(
    "result", [{"censored": "hidden"}, {"level": "ok"}, {"results": [{"censored": "x"}]}, {"results": 5}, {}]
)
def test_results_without_the_needed_keys_are_passed_over(result: Result) -> None:
    assert not fleet_of(("web1", LOOK, result)).hosts
    assert not fleet_of(("web1", SET_FACT, {"ansible_facts": str(result)})).hosts


def test_a_loop_returns_several() -> None:
    host = only_host(fleet_of(("web1", STRESS, {"results": [LOAD, {**LOAD, "url": "http://192.0.2.1/"}]})))
    assert [one["url"] for one in host["stress"]] == [LOAD["url"], "http://192.0.2.1/"]


def test_of_looks_before_a_change_the_last_one_counts_unless_it_tells_less() -> None:
    one_destination = {**EXHAUSTED, "pools": EXHAUSTED["pools"][:1]}
    newer = {**EXHAUSTED, "blocked_at_most": 7}
    for looks, kept in (
        ([IDLE, EXHAUSTED, one_destination], EXHAUSTED),
        ([one_destination, EXHAUSTED], EXHAUSTED),
        ([EXHAUSTED, newer], newer),
        ([EXHAUSTED, IDLE], IDLE),
    ):
        assert only_host(fleet_of(*(("web1", LOOK, look) for look in looks)))["usage"] == kept


def test_the_last_look_after_a_change_counts() -> None:
    host = only_host(
        fleet_of(("web1", LOOK, EXHAUSTED), ("web1", APPLY, CHANGE), ("web1", LOOK, EXHAUSTED), ("web1", LOOK, AFTER))
    )
    assert (host["usage"], host["usage_after"]) == (EXHAUSTED, AFTER)
    assert (host["state"], host["level"]) == ("changed", "ok")


def test_a_remediation_is_a_look_a_plan_and_a_change() -> None:
    host = only_host(fleet_of(("web1", REMEDIATION, remediation(EXHAUSTED, PLAN, CHANGE)), ("web1", LOOK, AFTER)))
    assert (host["usage"], host["plan"], host["usage_after"]) == (EXHAUSTED, PLAN, AFTER)
    assert host["changes"] == [{**CHANGE, "check_mode": False}]


@pytest.mark.parametrize("steps", [(EXHAUSTED, PLAN), (EXHAUSTED,), (None,)])
def test_what_came_before_a_failure_is_kept(steps: tuple[Any, ...]) -> None:
    usage, plan = (*steps, None)[:2]
    fleet = fleet_of(("web1", REMEDIATION, remediation(*steps)))
    fleet.lost("web1", [], "99-zzz.conf decides", unreachable=False)
    host = only_host(fleet)
    assert (host["state"], host["error"]) == ("failed", "99-zzz.conf decides")
    assert (host["usage"], host["plan"], host["changes"]) == (usage, plan, [])


@pytest.mark.parametrize(("change", "check"), [({**CHANGE, "changed": False}, False), (CHANGE, True)])
def test_no_look_is_after_a_change_that_was_none(change: Result, check: bool) -> None:
    host = only_host(fleet_of(("web1", LOOK, IDLE), ("web1", APPLY, change, check), ("web1", LOOK, EXHAUSTED)))
    assert (host["usage"], host["usage_after"]) == (EXHAUSTED, None)


def test_what_was_seen_of_a_change_is_gone_with_it() -> None:
    host = only_host(
        fleet_of(
            ("web1", LOOK, EXHAUSTED),
            ("web1", APPLY, CHANGE),
            ("web1", LOOK, AFTER),
            ("web1", APPLY, ROLLBACK),
        )
    )
    assert (host["state"], host["level"], host["usage_after"]) == ("rolled_back", "exhausted", None)
    assert [change["file"] for change in host["changes"]] == ["created", "removed"]


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([(LOOK, IDLE)], "observed"),
        ([(STRESS, LOAD)], "observed"),
        ([(REMEDIATION, remediation(IDLE, PLAN))], "unchanged"),
        ([(REMEDIATION, remediation(IDLE, PLAN, {"changed": False, "skipped": True}))], "unchanged"),
        ([(REMEDIATION, remediation(IDLE, PLAN, CHANGE))], "changed"),
        ([(REMEDIATION, remediation(IDLE, PLAN, CHANGE), True)], "would_change"),
        ([(APPLY, {**CHANGE, "changed": False})], "unchanged"),
        ([(APPLY, CHANGE)], "changed"),
        ([(APPLY, CHANGE, True)], "would_change"),
        ([(APPLY, CHANGE, True), (APPLY, CHANGE)], "changed"),
        ([(APPLY, ROLLBACK)], "rolled_back"),
        ([(APPLY, ROLLBACK, True)], "would_change"),
        ([(APPLY, CHANGE), (SET_FACT, facts("timewait_rollout_outcome", ROLLED_BACK))], "rolled_back"),
        ([(SET_FACT, facts("timewait_rollout_outcome", {**ROLLED_BACK, "state": "pending"}))], "pending"),
    ],
)
def test_state(events: list[tuple[Any, ...]], state: str) -> None:
    assert only_host(fleet_of(*(("web1", *event) for event in events)))["state"] == state


def test_what_was_predicted_gives_way_to_what_was_done() -> None:
    host = only_host(fleet_of(("web1", APPLY, CHANGE, True), ("web1", APPLY, CHANGE, True), ("web1", APPLY, CHANGE)))
    assert [change["check_mode"] for change in host["changes"]] == [False]


def test_a_confirmation_adds_nothing_to_a_change() -> None:
    unchanged = {**CHANGE, "changed": False, "file": "unchanged"}
    host = only_host(fleet_of(("web1", APPLY, CHANGE), ("web1", APPLY, unchanged)))
    assert [change["changed"] for change in host["changes"]] == [True]
    host = only_host(fleet_of(("web1", APPLY, CHANGE, True), ("web1", APPLY, unchanged)))
    assert [change["changed"] for change in host["changes"]] == [False]


def test_the_last_outcome_wins() -> None:
    outcomes = [facts("timewait_rollout_outcome", {"state": state}) for state in ("pending", "changed")]
    host = only_host(fleet_of(*(("web1", SET_FACT, outcome) for outcome in outcomes)))
    assert host["outcome"] == {"state": "changed"}


def test_failures_and_their_end() -> None:
    fleet = fleet_of(("web1", LOOK, IDLE), ("web2", LOOK, IDLE), ("web3", LOOK, IDLE))
    for name in ("web1", "web2"):
        fleet.lost(name, [], "No  such\nfile.", unreachable=False)
    fleet.lost("web3", [], "Timed out.", unreachable=True)
    fleet.settle(["web2"])  # web1 was rescued
    states = {host["name"]: (host["state"], host["error"]) for host in make_report(fleet, META)["hosts"]}
    assert states == {
        "web1": ("observed", None),
        "web2": ("failed", "No such file."),
        "web3": ("unreachable", "Timed out."),
    }
    fleet.heard("web3", LOOK, IDLE)
    assert make_report(fleet, META)["hosts"][2]["state"] == "observed"


def test_an_outcome_tells_more_than_the_failure_that_ends_the_rollout() -> None:
    fleet = fleet_of(("web1", APPLY, CHANGE), ("web1", SET_FACT, facts("timewait_rollout_outcome", ROLLED_BACK)))
    fleet.lost("web1", [], "The wave was rolled back.", unreachable=False)
    fleet.settle(["web1"])
    assert only_host(fleet)["state"] == "rolled_back"
    (lost,) = make_report(fleet, META)["summary"]["lost"]
    assert lost == {"state": "rolled_back", "reason": "listeners: Gone.", "hosts": 1, "names": ["web1"]}


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (LOOK, {**IDLE, "pools": [{}]}),
        (APPLY, {**CHANGE, "settings": None}),
        (SET_FACT, facts("timewait_rollout_outcome", {"state": "changed", "wave": "first"})),
    ],
)
def test_a_result_that_is_not_understood(action: str, result: Result) -> None:
    good = facts("timewait_rollout_outcome", {"state": "changed", "wave": 1})
    fleet = fleet_of(("web1", LOOK, IDLE), ("web1", action, result), ("web2", SET_FACT, good))
    fleet.settle([])
    report = make_report(fleet, META)
    one, two = report["hosts"]
    assert (one["state"], one["usage"], one["error"]) == ("failed", IDLE, "its result was not understood")
    assert (two["state"], two["error"]) == ("changed", None)
    (lost,) = report["summary"]["lost"]
    assert (lost["reason"], lost["names"]) == ("its result was not understood", ["web1"])


def test_what_is_no_number_is_null() -> None:
    host = only_host(fleet_of(("web1", LOOK, {**IDLE, "uptime": float("inf"), "counters": {"TW": float("nan")}})))
    assert (host["usage"]["uptime"], host["usage"]["counters"]) == (None, {"TW": None})


def test_plays_of_others_are_not_our_business() -> None:
    fleet = Fleet()
    fleet.play_started()
    fleet.task_started("ansible.builtin.apt")
    fleet.lost("web1", [], "No space.", unreachable=False)
    fleet.play_started()
    fleet.task_started("ansible.builtin.setup")
    fleet.lost("web2", [], "Timed out.", unreachable=True)  # before our first task, in our play
    fleet.task_started("ansible.builtin.debug", "netops.ephemeral_ports.timewait_diagnose")
    assert list(fleet.hosts) == ["web2"]


def test_what_is_ours() -> None:
    assert is_ours("curl_stress")
    assert is_ours("ansible.builtin.debug", "netops.ephemeral_ports.timewait_stress")
    assert not is_ours("ansible.builtin.debug", "acme.net.timewait_stress")


def test_one_cause_has_one_message() -> None:
    fleet = fleet_of()
    for name, address in (("web1", "192.0.2.1"), ("web10", "192.0.2.10"), ("web2", "192.0.2.2")):
        fleet.lost(name, [address], f"ssh: connect to host {address} port 22: {name}: refused", unreachable=True)
    (lost,) = make_report(fleet, META)["summary"]["lost"]
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


def test_waves_and_hosts_not_curable() -> None:
    stuck = {"state": "unchanged", "reason": None, "wave": None, "not_curable": "Clients bind first.", "gate": None}
    report = report_of(
        ("web1", SET_FACT, facts("timewait_rollout_outcome", {**ROLLED_BACK, "state": "changed", "wave": 1})),
        ("web2", SET_FACT, facts("timewait_rollout_outcome", ROLLED_BACK)),
        ("web3", SET_FACT, facts("timewait_rollout_outcome", stuck)),
    )
    assert report["summary"]["waves"] == [
        {"wave": 1, "hosts": 1, "states": {"changed": 1}},
        {"wave": 2, "hosts": 1, "states": {"rolled_back": 1}},
    ]
    assert report["summary"]["not_curable"] == [{"reason": "Clients bind first.", "hosts": 1, "names": ["web3"]}]


def test_counts_name_every_level_and_state() -> None:
    report = make_report(simulated_fleet.make_fleet(200, remediate=True), META)
    summary = report["summary"]
    assert (tuple(summary["levels"]), tuple(summary["states"])) == (LEVELS, STATES)
    assert (
        sum(summary["levels"].values()) == sum(summary["states"].values()) == summary["hosts"] == len(report["hosts"])
    )


def test_worst_first() -> None:
    fleet = fleet_of(
        ("idle", LOOK, IDLE),
        ("warned", LOOK, RECORDED["usage"]["warning"]),
        ("full", LOOK, EXHAUSTED),
        ("half", LOOK, RECORDED["usage"]["critical"]),
    )
    fleet.lost("gone", [], "Timed out.", unreachable=True)
    fleet.lost("failed", [], "Refused.", unreachable=False)
    names = [host["name"] for host in worst_first(make_report(fleet, META)["hosts"])]
    assert names == ["full", "failed", "half", "gone", "warned", "idle"]


def test_names_are_sorted_as_people_count() -> None:
    assert sorted(["web10", "web9", "db1", "10", "9", "web"], key=natural) == ["9", "10", "db1", "web", "web9", "web10"]


def test_only_plain_types() -> None:
    class Marked(str):
        """As ansible-core 2.19 marks what comes from a task."""

    report = report_of((Marked("web1"), LOOK, {**IDLE, "reserved_in_files": Marked("8080")}))
    assert {type(report["hosts"][0]["usage"]["reserved_in_files"])} == {str}  # no subclass of Ansible's
    assert report["schema"] == SCHEMA
    assert json.loads(json.dumps(report)) == report

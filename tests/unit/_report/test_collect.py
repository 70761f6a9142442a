# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which results are taken in, which are passed over, and which cost their host its place."""

from __future__ import annotations

import json

import pytest
from simulated_fleet import META, ROLLOUT

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet, is_ours
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import SCHEMA, make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.outcome import begin

from .hearing import (
    AFTER,
    APPLY,
    CHANGE,
    EXHAUSTED,
    IDLE,
    LOAD,
    LOOK,
    PLAN,
    ROLLBACK,
    STRESS,
    Result,
    fleet_of,
    only_host,
    outcome,
    report_of,
)


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
def test_results_of_no_kind_are_passed_over(result: Result) -> None:
    assert not fleet_of(("web1", LOOK, result)).hosts


def test_a_failed_task_says_in_its_invocation_what_it_found() -> None:
    host = only_host(fleet_of(("web1", LOOK, {"msg": "No.", "invocation": {**EXHAUSTED}})))
    assert host["level"] == "exhausted"
    assert not fleet_of(("web1", LOOK, {"msg": "No.", "invocation": {"module_args": {}}})).hosts
    assert not fleet_of(("web1", LOOK, {"msg": "No."})).hosts


def test_a_loop_returns_several() -> None:
    host = only_host(fleet_of(("web1", STRESS, {"results": [LOAD, {**LOAD, "url": "http://192.0.2.1/"}]})))
    assert [one["url"] for one in host["stress"]] == [LOAD["url"], "http://192.0.2.1/"]


def test_failures_and_their_end() -> None:
    fleet = fleet_of(("web1", LOOK, IDLE), ("web2", LOOK, IDLE), ("web3", LOOK, IDLE))
    for name in ("web1", "web2"):
        fleet.on_failure(name, [], "No  such\nfile.", unreachable=False)
    fleet.on_failure("web3", [], "Timed out.", unreachable=True)
    fleet.finish(["web2"])  # web1 was rescued
    states = {host["name"]: (host["state"], host["error"]) for host in make_report(fleet.hosts, META)["hosts"]}
    assert states == {
        "web1": ("observed", None),
        "web2": ("failed", "No such file."),
        "web3": ("unreachable", "Timed out."),
    }
    fleet.on_result("web3", LOOK, IDLE)
    assert make_report(fleet.hosts, META)["hosts"][2]["state"] == "observed"


@pytest.mark.parametrize(
    ("action", "result", "why"),
    [
        (LOOK, {**IDLE, "pools": [{}]}, "pools: kind is missing"),
        (LOOK, {**IDLE, "uptime": float("inf")}, "uptime: the number is out of all bounds"),
        (LOOK, {**IDLE, "kind": "us\x1b[2Jage"}, "unknown kind us\ufffd[2Jage"),
        (LOOK, {**IDLE, "kind": ["usage"]}, "unknown kind ['usage']"),
        (APPLY, {**CHANGE, "settings": None}, "settings: expected a list, got None"),
        (ROLLOUT, outcome("changed", wave="first"), "wave: expected a whole number, got 'first'"),
    ],
)
def test_a_result_that_is_not_understood(action: str, result: Result, why: str) -> None:
    good = outcome("changed", wave=1)
    fleet = fleet_of(("web1", LOOK, IDLE), ("web1", action, result), ("web2", ROLLOUT, good))
    fleet.finish([])
    report = make_report(fleet.hosts, META)
    one, two = report["hosts"]
    assert (one["state"], one["usage"], one["error"]) == ("failed", IDLE, f"its result was not understood: {why}")
    assert (two["state"], two["error"]) == ("changed", None)
    (lost,) = report["summary"]["lost"]
    assert (lost["reason"], lost["names"]) == (one["error"], ["web1"])


def test_plays_of_others_are_not_our_business() -> None:
    fleet = Fleet()
    fleet.on_play()
    fleet.on_task("ansible.builtin.apt")
    fleet.on_failure("web1", [], "No space.", unreachable=False)
    fleet.on_play()
    fleet.on_task("ansible.builtin.setup")
    fleet.on_failure("web2", [], "Timed out.", unreachable=True)  # before our first task, in our play
    fleet.on_task("ansible.builtin.debug", "netops.ephemeral_ports.timewait_diagnose")
    assert list(fleet.hosts) == ["web2"]


def test_what_is_ours() -> None:
    assert is_ours("curl_stress")
    assert is_ours("ansible.builtin.debug", "netops.ephemeral_ports.timewait_stress")
    assert not is_ours("ansible.builtin.debug", "acme.net.timewait_stress")


def test_only_plain_types() -> None:
    class Marked(str):
        """As ansible-core 2.19 marks what comes from a task."""

    report = report_of((Marked("web1"), LOOK, {**IDLE, "reserved_in_files": Marked("8080")}))
    assert {type(report["hosts"][0]["usage"]["reserved_in_files"])} == {str}  # no subclass of Ansible's
    assert report["schema"] == SCHEMA
    assert json.loads(json.dumps(report)) == report


def test_of_a_rollout_each_step_tells_what_it_found() -> None:
    found = {"state": "pending", "first": IDLE, "plan": PLAN, "applied": CHANGE}
    observed = {**begin("observe", check_mode=False), **found}
    host = only_host(fleet_of(("web1", ROLLOUT, observed)))
    assert (host["usage"], host["usage_after"], host["plan"]) == (IDLE, None, PLAN)
    assert [change["check_mode"] for change in host["changes"]] == [True]

    applied = {**observed, "step": "apply", "before": IDLE}
    judged = {**applied, "step": "judge", "state": "changed", "after": AFTER}
    confirmed = {**judged, "step": "confirm"}
    events = [("web1", ROLLOUT, result) for result in (observed, applied, judged, confirmed)]
    host = only_host(fleet_of(*events))
    assert (host["state"], host["usage"], host["usage_after"]) == ("changed", IDLE, AFTER)
    assert [change["check_mode"] for change in host["changes"]] == [False]

    reverted = {**judged, "step": "revert", "state": "rolled_back", "reverted": ROLLBACK}
    host = only_host(fleet_of(*events[:3], ("web1", ROLLOUT, reverted)))
    assert (host["state"], host["usage_after"]) == ("rolled_back", None)
    assert [change["file"] for change in host["changes"]] == [CHANGE["file"], "removed"]

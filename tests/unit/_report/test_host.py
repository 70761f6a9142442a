# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a host, result by result."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_fleet import REMEDIATION, ROLLOUT, remediation

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import HostReport
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.earlier import host_of

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
    ROLLED_BACK,
    STRESS,
    Result,
    fleet_of,
    only_host,
    outcome,
)


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
    fleet.on_failure("web1", [], "99-zzz.conf decides", unreachable=False)
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
        ([(REMEDIATION, remediation(IDLE, PLAN, CHANGE))], "changed"),
        ([(REMEDIATION, remediation(IDLE, PLAN, CHANGE), True)], "would_change"),
        ([(APPLY, {**CHANGE, "changed": False})], "unchanged"),
        ([(APPLY, CHANGE)], "changed"),
        ([(APPLY, CHANGE, True)], "would_change"),
        ([(APPLY, CHANGE, True), (APPLY, CHANGE)], "changed"),
        ([(APPLY, ROLLBACK)], "rolled_back"),
        ([(APPLY, ROLLBACK, True)], "would_change"),
        ([(APPLY, CHANGE), (ROLLOUT, ROLLED_BACK)], "rolled_back"),
        ([(ROLLOUT, outcome("pending"))], "pending"),
        ([(ROLLOUT, outcome("pending", wave=1), True)], "would_change"),
        ([(ROLLOUT, outcome("pending"), True), (ROLLOUT, outcome("changed"))], "changed"),
        ([(ROLLOUT, outcome("rolled_back"), True)], "would_change"),
        ([(ROLLOUT, outcome("failed"), True)], "failed"),
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


def step(name: str, state: str, **found: object) -> Result:
    parts = dict.fromkeys(("first", "before", "after", "plan", "applied", "reverted", "end"))
    told = {"step": name, "changed": False, "check_mode": False, **parts, **found}
    return outcome(state, **told)


def test_of_each_step_of_a_rollout_what_it_found_is_taken() -> None:
    observed = step("observe", "pending", first=EXHAUSTED, plan=PLAN, applied=CHANGE)
    applied = step("apply", "pending", first=IDLE, before=EXHAUSTED, plan=PLAN, applied=CHANGE)
    judged = step("judge", "changed", first=IDLE, before=IDLE, after=AFTER, plan=PLAN, applied=CHANGE)
    reverted = step("revert", "rolled_back", first=IDLE, before=IDLE, after=AFTER, applied=CHANGE, reverted=ROLLBACK)

    def after(*steps: Result) -> HostReport:
        return only_host(fleet_of(*(("web1", ROLLOUT, one) for one in steps)))

    host = after(observed)
    assert (host["state"], host["usage"], host["plan"]) == ("pending", EXHAUSTED, PLAN)
    assert host["changes"] == [{**CHANGE, "check_mode": True}]
    host = after(observed, applied)
    assert (host["usage"], host["usage_after"], host["changes"]) == (EXHAUSTED, None, [{**CHANGE, "check_mode": False}])
    host = after(observed, applied, judged)
    assert (host["state"], host["usage"], host["usage_after"]) == ("changed", EXHAUSTED, AFTER)
    assert [change["file"] for change in host["changes"]] == ["created"]
    host = after(observed, applied, judged, reverted)
    assert (host["state"], host["usage_after"]) == ("rolled_back", None)
    assert [change["file"] for change in host["changes"]] == ["created", "removed"]
    assert host["outcome"] == outcome("rolled_back")


def test_the_last_outcome_wins() -> None:
    host = only_host(fleet_of(*(("web1", ROLLOUT, outcome(state)) for state in ("pending", "changed"))))
    assert host["outcome"] == outcome("changed")


SETTING = {"key": "net.ipv4.tcp_tw_reuse", "wanted": "1", "before": "2", "after": "1", "status": "changed"}
NAMESPACE = {
    "own": False,
    "inode": 7,
    "cookie": 5,
    "name": None,
    "owner": {"kind": "docker", "name": "web", "id": "a", "container": None},
    "pid": 1,
    "program": "nginx",
}


def elsewhere(status: str, *settings: Result) -> Result:
    one = {"namespace": NAMESPACE, "status": status, "settings": list(settings)}
    changed = status in ("changed", "rolled_back")
    return {"kind": "namespace_apply", "changed": changed, "recovered": False, "namespaces": [one]}


SET, UNSET = elsewhere("changed", SETTING), elsewhere("rolled_back", {**SETTING, "wanted": None, "status": "restored"})
NAMESPACE_SYSCTLS = "netops.ephemeral_ports.namespace_sysctls"


@pytest.mark.parametrize(
    ("events", "state", "way"),
    [
        ([(SET,)], "changed", "docker run --name web --sysctl net.ipv4.tcp_tw_reuse=1 IMAGE"),
        ([(SET, True)], "would_change", "docker run"),
        ([(SET,), (elsewhere("unchanged", {**SETTING, "status": "unchanged"}),)], "changed", "docker run"),
        ([(elsewhere("unchanged", {**SETTING, "status": "unchanged"}),)], "unchanged", "docker run"),
        ([(SET,), (UNSET,)], "rolled_back", None),
        ([(elsewhere("gone"),)], "unchanged", None),
    ],
)
def test_what_was_set_in_other_namespaces_and_how_it_would_last(
    events: list[tuple[Any, ...]], state: str, way: str | None
) -> None:
    host = only_host(fleet_of(*(("web1", NAMESPACE_SYSCTLS, *event) for event in events)))
    (one,) = host["elsewhere"]
    assert (host["state"], one["namespace"]) == (state, NAMESPACE)
    assert host_of(host).report() == host
    assert way in one["lasting_way"] if way else not one["lasting_way"]


def test_a_remediation_tells_of_other_namespaces_too() -> None:
    result = {**remediation(EXHAUSTED, PLAN, CHANGE), "namespaces_applied": SET}
    host = only_host(fleet_of(("web1", REMEDIATION, result)))
    assert (host["state"], [one["status"] for one in host["elsewhere"]]) == ("changed", ["changed"])

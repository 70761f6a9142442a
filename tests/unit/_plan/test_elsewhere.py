# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for other network namespaces: of what is in each of them, and of no file of the host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.elsewhere import (
    broken_elsewhere,
    plan_elsewhere,
    refused_elsewhere,
    wishes,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import PolicyError

from .hosts import usage

RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
REUSE = "net.ipv4.tcp_tw_reuse"
OF_HOST = ("kernel", "reserved_in_files", "port_lines", "other_dropins")
LINE = {"key": RANGE, "file": "/etc/sysctl.d/1.conf", "line": 1, "value": "", "means": "20000 65535", "refused": False}


def elsewhere(inode: int, **observed: Any) -> dict[str, Any]:
    owner = {"kind": "podman", "name": f"web{inode}", "id": "a", "container": None}
    namespace = {"own": False, "inode": inode, "cookie": 9, "name": None, "owner": owner, "pid": 1, "program": "nginx"}
    seen = {name: one for name, one in usage(**observed).items() if name not in OF_HOST}
    return {**seen, "namespace": namespace, "level": "ok"}


def host(*others: dict[str, Any], **observed: Any) -> Any:
    counted = {"namespaces_observed": len(others), "not_observed": [], "own_level": "ok", "level": "ok"}
    return {**usage(**observed), "namespace": {"own": True}, "namespaces": list(others), **counted}


def planned(*others: dict[str, Any], policy: Any = None, **observed: Any) -> list[dict[str, str | None]]:
    plans = plan_elsewhere(host(*others, **observed), policy or {})
    return [{one["key"]: one["wanted"] for one in plan["plan"]["settings"]} for plan in plans]


def test_each_has_a_plan_of_its_own() -> None:
    first, second = planned(elsewhere(7, tcp=[15432]), elsewhere(8, tcp_timestamps="0"), tcp=[20000])
    assert (first[RESERVED], first[RANGE], first[REUSE]) == ("15432", "10240 65535", "1")
    assert second[RESERVED] is None
    assert second["net.ipv4.tcp_timestamps"] == "1"


def test_files_of_the_host_decide_nothing() -> None:
    (plan,) = planned(elsewhere(7), lines=[LINE], files="30000-32767")
    assert (plan[RESERVED], plan[RANGE]) == (None, "10240 65535")


def test_drop_ins_of_the_host_decide_nothing() -> None:
    ours = {"path": "/etc/sysctl.d/2.conf", "applied": {RANGE: {"before": "32768 60999", "applied": "20000 20999"}}}
    seen = host(elsewhere(7, ip_local_port_range="20000 20999"))
    (plan,) = plan_elsewhere({**seen, "other_dropins": [ours]}, {})
    assert RANGE not in {one["key"] for one in plan["plan"]["dropin"]}


def test_a_range_that_somebody_chose_is_not_widened_by_auto() -> None:
    chosen = elsewhere(7, ip_local_port_range="20000 20999")
    (plan,) = plan_elsewhere(host(chosen), {})
    (of_range,) = (one for one in plan["plan"]["settings"] if one["key"] == RANGE)
    assert (of_range["wanted"], of_range["action"]) == (None, "keep")
    assert of_range["reason"].startswith("Somebody chose 20000 20999 for this network namespace, so auto")
    (plan_of_user,) = planned(chosen, policy={"ip_local_port_range": "10240 65535"})
    assert plan_of_user[RANGE] == "10240 65535"
    own = {"ip_local_port_range": ("32768 60999", "10240 65535")}
    (ours,) = planned(elsewhere(7, ip_local_port_range="10240 65535", own=own))
    assert ours[RANGE] == "10240 65535"


def test_what_is_missing_is_unsupported() -> None:
    (plan,) = planned(elsewhere(7, tcp_tw_reuse=None, release="4.4.0"))
    assert plan[REUSE] is None


def test_a_refusal_names_the_namespace() -> None:
    plans = plan_elsewhere(host(elsewhere(7, ip_local_port_range="1024 65535")), {"ip_local_port_range": "10240 65535"})
    (words,) = refused_elsewhere(plans, {"ip_local_port_range": "10240 65535"})
    assert words.startswith("podman web7: ip_local_port_range: 10240 65535 would narrow the range")
    with pytest.raises(PolicyError, match=r"podman web7: reserve: .* leaves"):
        plan_elsewhere(host(elsewhere(7)), {"reserve": ["10000-65000"]})


def test_none_that_is_wanted_is_passed_over() -> None:
    for different, words in (
        ({"not_observed": [{"what": "namespaces", "number": 1, "why": "not_allowed"}]}, "only root of the host"),
        ({"namespaces_observed": 101}, "101 are more than 1; name fewer"),
        ({"namespaces": [elsewhere(7, ip_local_port_range=None)]}, "podman web7 does not show its port range"),
    ):
        with pytest.raises(PolicyError, match=words):
            plan_elsewhere({**host(elsewhere(7)), **different}, {})


def test_what_is_asked_of_the_host_and_what_came_of_it() -> None:
    plans = plan_elsewhere(host(elsewhere(7)), {})
    (wish,) = wishes(plans)
    assert (wish["inode"], wish["cookie"], wish["settings"][REUSE]) == (7, 9, "1")
    settings = [{"key": key, "after": value} for key, value in wish["settings"].items()]
    result: Any = {"namespace": plans[0]["namespace"], "status": "changed", "settings": settings}
    applied: Any = {"namespaces": [result]}
    assert broken_elsewhere(plans, applied) == []
    assert broken_elsewhere(plans, {**applied, "namespaces": []}) == ["podman web7 was passed over"]
    assert broken_elsewhere(plans, {**applied, "namespaces": [{**result, "status": "gone", "settings": []}]}) == []
    settings[-1]["after"] = "7"
    (words,) = broken_elsewhere(plans, applied)
    assert words.startswith("podman web7: net.ipv4.")

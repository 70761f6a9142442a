# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was set in other network namespaces, in words: that it does not last, and what would."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

SETTING = {"key": "net.ipv4.tcp_tw_reuse", "wanted": "1", "before": "2", "after": "1", "status": "changed"}
OWNER = {"kind": "podman", "name": "web", "id": "a", "container": None}
NAMESPACE = {"own": False, "inode": 7, "cookie": 5, "name": None, "owner": OWNER, "pid": 1, "program": "nginx"}
RATE = {"before": 470.5, "usable_before": 28232, "hold_seconds_before": 60.0}
RATE |= {"after": 28232.0, "usable_after": 28232, "hold_seconds_after": 1.0}
SET = {
    "key": SETTING["key"],
    "current": "2",
    "wanted": "1",
    "action": "set",
    "reason": "So.",
    "purpose": "",
    "parts": [],
}
PLAN = {"kind": "plan", "settings": [SET], "dropin": [SET], "sustainable_rate": RATE}
WAY = "Give them:\n  podman run --sysctl 'net.ipv4.ip_local_port_range=10240 65535' IMAGE"


def applied(status: str, *settings: Any, recovered: bool = False) -> dict[str, Any]:
    one = {"namespace": NAMESPACE, "status": status, "settings": (settings and list(settings)) or []}
    return {"kind": "namespace_apply", "changed": True, "recovered": recovered, "namespaces": [one]}


@pytest.mark.parametrize(
    ("result", "check", "lines"),
    [
        (
            applied("changed", SETTING),
            False,
            ["CHANGED: podman web (verified), until it ends.", f"  {SETTING['key']}: 2 -> 1"],
        ),
        (applied("changed"), True, ["WOULD CHANGE: podman web, until it ends."]),
        (applied("unchanged"), False, ["UNCHANGED: podman web has these values already."]),
        (applied("rolled_back"), False, ["ROLLED BACK: podman web."]),
        (applied("rolled_back"), True, ["WOULD ROLL BACK: podman web."]),
        (
            applied("gone"),
            False,
            ["GONE: podman web has ended, and with it what was set there; there is nothing to do."],
        ),
        (
            {**applied("gone"), "namespaces": []},
            False,
            ["UNCHANGED: nothing was set in other network namespaces, and nothing is to be rolled back."],
        ),
    ],
)
def test_what_became_of_each(result: dict[str, Any], check: bool, lines: list[str]) -> None:
    assert describe(result, check) == lines


def test_a_remediation_says_what_does_not_last_and_what_would() -> None:
    result = {
        "kind": "remediation",
        "changed": True,
        "check_mode": False,
        "usage": None,
        "plan": None,
        "applied": None,
        "namespaces": [{"namespace": NAMESPACE, "plan": PLAN, "lasting_way": WAY}],
        "namespaces_applied": applied("changed", SETTING, recovered=True),
        "error": None,
    }
    lines = describe(result)
    assert lines[0].startswith("In podman web: CHANGE 1 of 1 settings: at most 28232 new connections/s")
    assert "CHANGED: podman web (verified), until it ends." in lines
    assert lines[-3:] == ["podman web:", *(f"  {line}" for line in WAY.split("\n"))]
    text = " ".join(" ".join(lines).split())
    assert "Lasts: not: what is set in another network namespace ends with it." in text
    assert "An earlier run was interrupted" in text

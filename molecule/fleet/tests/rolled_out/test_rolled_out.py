# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the rollout that picked up: all are changed but the broken one, and the next run has nothing to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

NOT_YET = [f"fleet{number:02}" for number in (2, 3, 4, 5, 6, 8, 9, 10, 12)]


def test_who_was_not_judged_is_judged_and_the_rest_is_changed(play: Callable[[str], Any]) -> None:
    resumed = play("resumed")
    assert resumed.rc == 2
    assert resumed.hosts_that_are("changed") == NOT_YET
    assert resumed.hosts_that_are("unchanged") == ["fleet01", "fleet11"]
    assert resumed.hosts_that_are("failed") == ["fleet07"]
    assert resumed.outcomes["fleet02"]["wave"] == 1
    assert [resumed.status(host, "reuse-works") for host in ("fleet02", "fleet05")] == ["passed", "passed"]


def test_the_host_that_sysctls_cannot_cure_is_listed_with_the_reason(play: Callable[[str], Any]) -> None:
    for name in ("stopped", "resumed", "nothing_left"):
        outcomes = play(name).outcomes
        beyond = {host: outcome["not_curable"] for host, outcome in outcomes.items() if outcome["not_curable"]}
        assert list(beyond) == ["fleet12"]
        assert beyond["fleet12"].startswith("Clients bind() before they connect()")


def test_nothing_is_left_to_do(play: Callable[[str], Any]) -> None:
    nothing_left = play("nothing_left")
    assert nothing_left.rc == 2
    assert nothing_left.hosts_with("changed") == []
    assert nothing_left.hosts_with("failed") == ["fleet07"]
    assert nothing_left.hosts_that_are("unchanged") == sorted(["fleet01", "fleet11", *NOT_YET])


def test_all_are_fixed_and_none_is_on_trial(
    host: Host, name: str, present: tuple[str, str], fixed: tuple[str, str]
) -> None:
    assert present == fixed
    if name != "fleet07":
        journal = json.loads(host.check_output("cat /var/lib/netops.ephemeral_ports/*.json"))
        assert journal["trial"] is None

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects, in words."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.layout import WIDTH
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.text import live_of
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.users import users_of

USERS: dict[str, Any] = RECORDED["users"]
USER = USERS["users"][0]


def users(**different: object) -> dict[str, Any]:
    return {**USERS, **different}


def test_failing_connects() -> None:
    assert describe(USERS) == [
        "FAILING: 10 of 110 connects in 2.0 s found no local port.",
        "  program        of          towards          connects/s  failed",
        "  shop worker-1  podman web  198.18.0.1:8080          55      10",
    ]


def test_connects_that_do_not_fail() -> None:
    lines = describe(users(no_port=0, users=[{**USER, "no_port": 0, "owner": None}]))
    assert lines[0] == "CONNECTING: 110 connects in 2.0 s, none of them failed for want of a local port."
    assert lines[2] == "  shop worker-1      198.18.0.1:8080          55       0"


def test_no_connects() -> None:
    assert describe(users(connects=0, no_port=0, users=[], users_found=0)) == [
        "QUIET: no program called connect() in 2.0 s."
    ]


def test_what_was_not_traced_is_told() -> None:
    why = "only root may trace (become: true)"
    assert describe(users(traced=False, why_not=why, users=[], users_found=0)) == [f"NOT TRACED: {why}."]


@pytest.mark.parametrize(
    ("lost", "told"), [(12, "12 events were lost"), (0, "There were so many events that it ended early")]
)
def test_what_is_missing_is_told(lost: int, told: str) -> None:
    assert describe(users(complete=False, lost=lost))[-1] == f"Note:      {told}; the numbers are too low."


def test_many_users_do_not_flood() -> None:
    lines = describe(users(users=[{**USER, "port": port} for port in range(20)], users_found=31))
    assert lines[-1] == "  and 21 more"
    assert len(lines) == 13


def test_long_names_are_cut() -> None:
    """As long as an address of IPv6 with its port can be, all is shown; what a hostile host says may be longer."""
    longest = {**USER, "address": "2001:db8:1111:2222:3333:4444:5555:6666", "port": 65535}
    lines = describe(users(users=[{**longest, "program": "x" * 900, "owner": "pod " + "y" * 900}]))
    assert "[2001:db8:1111:2222:3333:4444:5555:6666]:65535" in lines[2]
    assert max(map(len, lines)) <= WIDTH + 23
    hostile = describe(users(users=[{**USER, "address": "z" * 900}]))
    assert max(map(len, hostile)) <= WIDTH + 23


def test_users_of_a_pool_are_those_of_its_namespace() -> None:
    usage = RECORDED["usage"]["exhausted"]
    pool, own = usage["pools"][0], usage["namespace"]["inode"]
    there = {**USER, "address": pool["address"], "port": pool["port"], "namespace": own}
    told = "shop worker-1 of podman web, 55/s, 10 failed"
    assert users_of(pool, usage, users(users=[there])) == [told]
    assert users_of(pool, usage, users(users=[{**there, "namespace": None}])) == [told]
    assert users_of(pool, usage, users(users=[{**there, "namespace": own + 1}])) == []
    another = {**usage, "namespace": {**usage["namespace"], "own": False}}
    assert users_of(pool, another, users(users=[{**there, "namespace": None}])) == []
    assert users_of(pool, another, users(users=[there])) == [told]
    assert users_of(pool, usage, users(users=[{**there, "port": pool["port"] + 1}])) == []
    assert users_of(pool, usage, None) == []


def test_who_has_the_live_connections() -> None:
    usage = RECORDED["usage"]["exhausted"]
    program = {"owner": "podman web", "program": "php-fpm", "pid": 4711, "processes": 3, "live": 90}
    owner = {"owner": "podman db", "program": None, "pid": None, "processes": None, "live": 7}
    alone = {"owner": None, "program": "curl", "pid": 12, "processes": 1, "live": 3}
    pool = {**usage["pools"][0], "live_by": [program, owner, alone]}
    told = ["90 live of php-fpm of podman web (pid 4711 and 2 more)", "7 live of podman db", "3 live of curl (pid 12)"]
    assert live_of(pool) == told
    assert live_of({**pool, "live_by": None}) == live_of({**pool, "live_by": []}) == []
    lines = describe({**usage, "pools": [pool]})
    assert f"Who:       {'; '.join(told)}." in " ".join(" ".join(lines).split()).replace("Who: ", "Who:       ")
    assert not any(line.startswith("Who:") for line in describe({**usage, "pools": [{**pool, "live_by": []}]}))

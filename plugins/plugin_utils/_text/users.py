# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects, and who finds no local port, in words."""

from __future__ import annotations

from ...module_utils._common.layout import cut_end, labelled, table
from ...module_utils._common.text import format_destination, format_number, format_who
from .._model import NamespaceUsage, Pool, Usage, User, Users

USERS_SHOWN = 10

_PROGRAM, _OWNER, _TOWARDS = 15, 24, 47


def describe_users(users: Users) -> list[str]:
    """Lines for the result of port_users_info."""
    lines = [users_verdict(users)]
    shown = users["users"][:USERS_SHOWN]
    if shown:
        rows: list[tuple[object, ...]] = [("program", "of", "towards", "connects/s", "failed")]
        rows += [_row(user) for user in shown]
        lines += table(rows, left=(0, 1, 2))
    left = users["users_found"] - len(shown)
    if left > 0:
        lines.append(f"  and {left} more")
    if users["traced"] and not users["complete"]:
        what = f"{users['lost']} events were lost" if users["lost"] else "there were so many events that it ended early"
        lines += labelled("Note", f"{what[0].upper()}{what[1:]}; the numbers are too low.")
    return lines


def users_verdict(users: Users) -> str:
    if not users["traced"]:
        return f"NOT TRACED: {users['why_not'] or 'no reason given'}."
    connects, time = users["connects"], f"in {users['seconds']:.1f} s"
    if users["no_port"]:
        return f"FAILING: {users['no_port']} of {connects} connects {time} found no local port."
    if not connects:
        return f"QUIET: no program called connect() {time}."
    return f"CONNECTING: {connects} connects {time}, none of them failed for want of a local port."


def failing_elsewhere(users: Users, usage: Usage) -> list[str]:
    """A line where programs find no port in a network namespace that was not observed: beside OK, that needs a word."""
    observed = {one["namespace"]["inode"] for one in (usage, *usage["namespaces"])} | {None}
    all_told = usage["namespaces_observed"] <= len(usage["namespaces"])
    if not all_told or not any(user["no_port"] and user["namespace"] not in observed for user in users["users"]):
        return []
    text = "Programs also find no port in network namespaces that were not observed."
    return labelled("Note", f"{text} To observe them, too: timewait_diagnose_namespaces: all.")


def _row(user: User) -> tuple[object, ...]:
    owner = cut_end(user["owner"] or "", _OWNER)
    program = cut_end(user["program"], _PROGRAM)
    return program, owner, cut_end(format_destination(user), _TOWARDS), format_number(user["rate"]), user["no_port"]


def format_user(user: User) -> str:
    """As in "php-fpm of podman web, 422/s, 410 failed"."""
    who = format_who(user["program"], user["owner"])
    failed = f", {user['no_port']} failed" if user["no_port"] else ""
    return f"{who}, {format_number(user['rate'])}/s{failed}"


def users_of(pool: Pool, usage: NamespaceUsage, users: Users | None) -> list[str]:
    """Who takes from a pool. The same address can be another destination in another network namespace.

    Programs that ended too early to be asked for theirs are counted to the own one.
    """
    if not users:
        return []
    own = (usage["namespace"]["inode"], None if usage["namespace"]["own"] else usage["namespace"]["inode"])
    found = [user for user in users["users"] if user["namespace"] in own]
    there = (pool["address"], pool["port"])
    return [format_user(user) for user in found if (user["address"], user["port"]) == there]

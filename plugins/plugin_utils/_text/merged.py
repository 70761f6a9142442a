# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report was put together from, and what has changed since earlier days, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...module_utils._common.text import format_percent, format_some
from .._model import ChangedLevel, Days, FindingChange, Growing, Merged, MergedFile
from .wording import format_hosts, format_names

SHOWN = 8


def told_of_merged(merged: Merged) -> list[str]:
    read = [one for one in merged["files"] if not one["error"]]
    lines = [f"Put together from {format_some(len(read), 'report')}."]
    lines += _unreadable(merged["files"])
    if merged["clashes"]:
        first, names = merged["clashes"][0], [one["host"] for one in merged["clashes"]]
        lines.append(
            f"{format_hosts(len(names))} in more than one report, of which the last counts: {format_names(names)}; for "
            f"example {first['host']} as in {first['counts']}."
        )
    if merged["missing"]:
        missing = format_names(merged["missing"])
        lines.append(f"{format_hosts(len(merged['missing']))} of the inventory in no report: {missing}.")
    return lines


def told_of_days(days: Days) -> list[str]:
    lines = list(_unreadable(days["files"]))
    if not days["days"]:
        return [*lines, "There is no earlier report to compare with."]
    head = f"Since {days['days'][-1]}"
    if len(days["days"]) > 1:
        head += f" (and {format_some(len(days['days']) - 1, 'day')} before, from {days['days'][0]} on)"
    changes = [*_levels("worse", days["worse"]), *_levels("better", days["better"])]
    changes += [*_findings("new", days["new"]), *_findings("gone", days["gone"]), *_growing(days["growing"])]
    for what, names in (("not in it before", days["appeared"]), ("no longer in it", days["disappeared"])):
        changes += [f"{format_hosts(len(names))} {what}: {format_names(names)}"] if names else []
    return [*lines, f"{head}: {'nothing has changed.' if not changes else ''}".rstrip(), *changes]


def _unreadable(files: list[MergedFile]) -> Iterator[str]:
    for one in [one for one in files if one["error"]][:SHOWN]:
        part = f", {format_hosts(one['hosts'])} of it counted" if one["hosts"] else ""
        yield f"{one['path']} is missing: {one['error']}{part}."


def _levels(how: str, changed: list[ChangedLevel]) -> Iterator[str]:
    for (before, after), number in Counter((one["before"], one["after"]) for one in changed).most_common(SHOWN):
        names = [one["host"] for one in changed if (one["before"], one["after"]) == (before, after)]
        yield f"{how}: {format_hosts(number)} from {before} to {after}: {format_names(names)}"


def _findings(how: str, found: list[FindingChange]) -> Iterator[str]:
    for one in found[:SHOWN]:
        since = f", first seen {one['first_seen'][:10]}" if one["first_seen"] else ""
        yield f"{how}: {one['id']}, {format_hosts(one['hosts'])}: {format_names(one['names'])}{since}"


def _growing(growing: list[Growing]) -> Iterator[str]:
    for one in growing[:SHOWN]:
        course = ", ".join(map(format_percent, one["saturations"]))
        yield f"growing: {one['host']} towards {one['destination']}: {course}"
    if len(growing) > SHOWN:
        yield f"growing: {len(growing) - SHOWN} more"

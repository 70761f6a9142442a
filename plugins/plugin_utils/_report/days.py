# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has changed since reports of earlier days: levels, findings, pools that grow. No clock.

Of each host a few facts are kept, whatever the size of its report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...module_utils._common.text import format_destination
from .._model import ChangedLevel, Days, FindingChange, Growing, HostReport, Level, MergedFile
from .._text.wording import natural
from .earlier import UnreadableError, read
from .host import LEVELS, latest_usage

# A pool grows where it is fuller than on the last day, which was no less full than the first, by so much.
_GROWS, _AT_LEAST, _LISTED = 1.25, 0.05, 50


@dataclass
class _Facts:
    level: Level
    findings: dict[str, str]  # by identifier and destination
    pools: dict[str, float]


@dataclass
class _Day:
    ended: str = ""
    hosts: dict[str, _Facts] = field(default_factory=dict)


def _facts(host: HostReport) -> _Facts:
    usage = latest_usage(host)
    found = usage["findings"] if usage else []
    pools = [pool for pool in usage["pools"] if pool["kind"] == "connect"] if usage else []
    most: dict[str, float] = {}
    for pool in pools:
        name = format_destination(pool)
        most[name] = max(most.get(name, 0.0), pool["saturation"])
    return _Facts(host["level"], {f"{one['id']} {one['destination'] or ''}".strip(): one["id"] for one in found}, most)


def compare(hosts: Iterable[HostReport], paths: Iterable[Path]) -> Days:
    """hosts: as they are now. paths: reports of earlier days, in any order; several that ended the same day are one."""
    files: list[MergedFile] = []
    days: dict[str, _Day] = {}
    for path in paths:
        told: MergedFile = {"path": str(path), "hosts": 0, "ended": None, "error": None}
        files.append(told)
        try:
            for one in read(path):
                day, name = days.setdefault(one.ended[:10], _Day()), one.host["name"]
                told["hosts"], told["ended"] = told["hosts"] + 1, one.ended
                if one.ended >= day.ended or name not in day.hosts:
                    day.hosts[name] = _facts(one.host)
                day.ended = max(day.ended, one.ended)
        except UnreadableError as error:
            told["error"] = str(error)
    ordered = [days[name] for name in sorted(days)]
    now = {host["name"]: _facts(host) for host in hosts}
    last = ordered[-1].hosts if ordered else {}
    both = sorted(now.keys() & last.keys(), key=natural)
    return {
        "files": files,
        "days": sorted(days),
        "worse": _levels(both, last, now, worse=True),
        "better": _levels(both, last, now, worse=False),
        "new": _findings(both, now, last, ordered),
        "gone": _findings(both, last, now, ordered),
        "growing": _growing(now, ordered),
        "appeared": sorted(now.keys() - last.keys(), key=natural) if ordered else [],
        "disappeared": sorted(last.keys() - now.keys(), key=natural),
    }


def _levels(
    names: Iterable[str], last: Mapping[str, _Facts], now: Mapping[str, _Facts], *, worse: bool
) -> list[ChangedLevel]:
    changed: list[ChangedLevel] = []
    for name in names:
        before, after = LEVELS.index(last[name].level), LEVELS.index(now[name].level)
        if (after < before) if worse else (after > before):
            changed.append({"host": name, "before": last[name].level, "after": now[name].level})
    return changed


def _findings(
    names: Iterable[str], some: Mapping[str, _Facts], others: Mapping[str, _Facts], days: list[_Day]
) -> list[FindingChange]:
    """Those of some that others have not, with the first day on which a host had them."""
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for name in names:
        for key, identifier in some[name].findings.items():
            if key not in others[name].findings:
                found.setdefault(identifier, []).append(name)
                seen = (day.ended for day in days if name in day.hosts and key in day.hosts[name].findings)
                since = next(seen, None)
                if since is not None:
                    first[identifier] = min(first.get(identifier, since), since)
    return [
        {
            "id": identifier,
            "hosts": len(set(who)),
            "names": list(dict.fromkeys(who)),
            "first_seen": first.get(identifier),
        }
        for identifier, who in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def _growing(now: Mapping[str, _Facts], days: list[_Day]) -> list[Growing]:
    found: list[Growing] = []
    for name, facts in now.items():
        for destination, saturation in facts.pools.items():
            course = [day.hosts[name].pools[destination] for day in days if destination in _pools(day, name)]
            rises = bool(course) and all(
                one <= other for one, other in zip(course, [*course[1:], saturation], strict=True)
            )
            if rises and saturation >= course[0] * _GROWS and saturation - course[0] >= _AT_LEAST:
                found.append({"host": name, "destination": destination, "saturations": [*course, saturation]})
    found.sort(key=lambda one: (-one["saturations"][-1], natural(one["host"])))
    return found[:_LISTED]


def _pools(day: _Day, name: str) -> Mapping[str, float]:
    return day.hosts[name].pools if name in day.hosts else {}

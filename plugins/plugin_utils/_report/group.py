# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: all hosts of a run, and what they have in common. No I/O, no clock.

docs/report.md describes it. A reader has to take fields that it does not know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ...module_utils._common.text import format_destination, place_name, recent_rate
from ...module_utils._usage.places import places
from .._model import (
    DestinationGroup,
    Finding,
    FindingGroup,
    How,
    LossGroup,
    Meta,
    Pool,
    ReasonGroup,
    Report,
    SettingGroup,
    State,
    Summary,
    WaveGroup,
)
from .._text.wording import natural
from .gateways import add_up, gateway_findings
from .host import LEVELS, ROLLED_BACK, SEVERITIES, STATES, Host

SCHEMA = 1

# Findings that say that connects fail at this moment.
_FAILING_NOW = ("no-usable-port", "destination-exhausted", "nat-gateway-exhausted")
_EXAMPLES = 3

# A name of a host in a message, which has no such character: a pattern for each name would have to be compiled.
_MARK = "\0"
_NAME = re.compile(rf"(?<![\w.-]){_MARK}(?![\w-])")

T = TypeVar("T")


def make_report(hosts: Mapping[str, Host], meta: Meta) -> Report:
    ordered = sorted(hosts.values(), key=lambda host: natural(host.name))
    return {
        "schema": SCHEMA,
        "meta": meta,
        "summary": summarise(ordered),
        "merged": None,
        "days": None,
        "hosts": [host.report() for host in ordered],
    }


def summarise(hosts: Sequence[Host]) -> Summary:
    levels, states = Counter(host.level for host in hosts), Counter(host.state for host in hosts)
    gateways = add_up(hosts)
    return {
        "hosts": len(hosts),
        "levels": {level: levels[level] for level in LEVELS},
        "states": {state: states[state] for state in STATES},
        "findings": _group_findings(hosts, gateway_findings(gateways)),
        "destinations": _group_destinations(hosts),
        "gateways": gateways,
        "settings": _group_settings(hosts),
        "lost": _group_losses(hosts),
        "not_curable": _group_not_curable(hosts),
        "waves": _group_waves(hosts),
    }


def _group(pairs: Iterable[tuple[T, str]]) -> list[tuple[T, list[str]]]:
    """Names of hosts by what they have in common, the largest group first."""
    groups: dict[T, list[str]] = {}
    for common, name in pairs:
        groups.setdefault(common, []).append(name)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _group_losses(hosts: Iterable[Host]) -> list[LossGroup]:
    pairs = (((host.state, _anonymous(_why_lost(host), host)), host.name) for host in hosts if _is_lost(host))
    return [
        {"state": state, "reason": reason, "hosts": len(names), "names": names}
        for (state, reason), names in _group(pairs)
    ]


def _is_lost(host: Host) -> bool:
    return host.state in ("failed", "unreachable") or (host.state == "rolled_back" and host.outcome is not None)


def _why_lost(host: Host) -> str:
    concluded = host.outcome["reason"] if host.outcome and host.state != "unreachable" else None
    return concluded or host.reason or "no reason given"


def _anonymous(message: str, host: Host) -> str:
    """The message without the host's own names, so that one cause has one message."""
    for name in sorted({host.name, *host.aliases} - {""}, key=len, reverse=True):
        message = _NAME.sub("HOST", message.replace(name, _MARK)).replace(_MARK, name)
    return message


def _group_not_curable(hosts: Iterable[Host]) -> list[ReasonGroup]:
    reasons = ((host.outcome["not_curable"] if host.outcome else None, host.name) for host in hosts)
    return [
        {"reason": reason, "hosts": len(names), "names": names}
        for reason, names in _group((reason, name) for reason, name in reasons if reason)
    ]


def _group_findings(hosts: Iterable[Host], of_fleet: Iterable[FindingGroup]) -> list[FindingGroup]:
    """By identifier, with the remedies from the most frequent on. of_fleet: those that no host can make alone."""
    causes: dict[str, list[tuple[str, Finding]]] = {}
    for host in hosts:
        for usage in places(host.latest_usage) if host.latest_usage else []:
            where = place_name(usage["namespace"])
            for finding in usage["findings"]:
                named: Finding = {**finding, "summary": f"{where}: {finding['summary']}"} if where else finding
                causes.setdefault(finding["id"], []).append((host.name, named))
    groups: list[FindingGroup] = [
        {
            "id": identifier,
            "severity": min({finding["severity"] for _name, finding in found}, key=SEVERITIES.index),
            "hosts": len({name for name, _finding in found}),
            "names": list(dict.fromkeys(name for name, _finding in found)),
            "remedies": [remedy for remedy, _n in Counter(finding["remedy"] for _name, finding in found).most_common()],
            "examples": [{"host": name, "summary": finding["summary"]} for name, finding in found[:_EXAMPLES]],
        }
        for identifier, found in causes.items()
    ]

    def badness(group: FindingGroup) -> tuple[object, ...]:
        return SEVERITIES.index(group["severity"]), group["id"] not in _FAILING_NOW, -group["hosts"], group["id"]

    return sorted([*of_fleet, *groups], key=badness)


def _group_destinations(hosts: Iterable[Host]) -> list[DestinationGroup]:
    """Whom the hosts connect to, whatever their own address: the most loaded first."""
    pools: dict[str, list[tuple[str, Pool]]] = {}
    for host in hosts:
        for usage in places(host.latest_usage) if host.latest_usage else []:
            for pool in usage["pools"]:
                if pool["kind"] == "connect":
                    pools.setdefault(format_destination(pool), []).append((host.name, pool))
    groups: list[DestinationGroup] = [
        {
            "destination": destination,
            "level": min({pool["level"] for _host, pool in found}, key=LEVELS.index),
            "saturation": max(pool["saturation"] for _host, pool in found),
            "rate": round(sum(recent_rate(pool) for _host, pool in found), 1),
            "hosts": len({host for host, _pool in found}),
            "hosts_in_trouble": len({host for host, pool in found if pool["level"] != "ok"}),
        }
        for destination, found in pools.items()
    ]

    def badness(group: DestinationGroup) -> tuple[object, ...]:
        return LEVELS.index(group["level"]), -group["hosts_in_trouble"], -group["saturation"], -group["rate"]

    return sorted(groups, key=badness)


def _group_settings(hosts: Iterable[Host]) -> list[SettingGroup]:
    pairs = ((setting, host.name) for host in hosts for setting in _settings(host))
    return [
        {"how": how, "key": key, "before": before, "after": after, "hosts": len(names), "names": names}
        for (how, key, before, after), names in _group(pairs)
    ]


def _settings(host: Host) -> Iterator[tuple[How, str, str | None, str | None]]:
    """What changed, or would, with key and values; not what was rolled back later in the run, which is told as that."""
    rolled_back = [
        (one["key"], one["after"], one["before"])
        for change in host.changes
        if change["file"] in ROLLED_BACK and not change["check_mode"]
        for one in change["settings"]
    ]
    for change in host.changes:
        how: How = "changed"
        if change["check_mode"]:
            how = "would_change"
        elif change["file"] in ROLLED_BACK:
            how = "rolled_back"
        for one in change["settings"]:
            told = one["key"], one["before"], one["after"]
            if one["before"] != one["after"] and (how != "changed" or told not in rolled_back):
                yield how, *told
    for setting in host.plan["settings"] if host.plan and not host.changes else []:
        if setting["action"] == "set":
            yield "planned", setting["key"], setting["current"], setting["wanted"]


def _group_waves(hosts: Sequence[Host]) -> list[WaveGroup]:
    """Waves of a rollout, in order, with the states that their hosts came to; last those that were in none."""
    if not any(host.outcome for host in hosts):
        return []
    waves: dict[int | None, dict[State, list[str]]] = {}
    for host in hosts:
        if host.outcome or _is_lost(host):
            states = waves.setdefault(host.outcome["wave"] if host.outcome else None, {})
            states.setdefault(host.state, []).append(host.name)
    return [
        {
            "wave": wave,
            "hosts": sum(map(len, states.values())),
            "states": {name: len(states[name]) for name in STATES if name in states},
            "names": {name: states[name] for name in STATES if name in states},
        }
        for wave, states in sorted(waves.items(), key=lambda pair: (pair[0] is None, pair[0] or 0))
    ]

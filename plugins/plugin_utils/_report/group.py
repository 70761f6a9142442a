# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the tasks of a run returned to one report on all hosts. No I/O, no clock, plain types only.

docs/report.md describes the report. SCHEMA counts up where a field is removed or means something else; a reader
has to take fields that it does not know.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any

from ...module_utils._text import format_destination

SCHEMA = 1

LEVELS = ("exhausted", "critical", "warning", "ok", "unknown")
STATES = ("failed", "rolled_back", "unreachable", "changed", "would_change", "pending", "unchanged", "observed")
SEVERITIES = ("critical", "warning", "info")

# What is kept of a result. The rest is Ansible's own: how the module was called, and so on.
USAGE = (
    "kind", "namespace",
    "level", "findings", "kernel", "sysctls", "port_range", "reserved_in_files", "listening_ports", "sockets",
    "blocked_at_most", "pools", "method", "complete", "uptime", "counters",
)  # fmt: skip
PLAN = ("kind", "settings", "dropin", "sustainable_rate")
CHANGE = ("kind", "path", "changed", "file", "settings", "late_writers", "on_trial", "recovered")
STRESS = (
    "kind",
    "url", "attempted", "succeeded", "failures", "errors", "port_exhaustion", "seconds", "rate", "connect_ms",
    "time_wait", "tw_recycled", "stopped_by",
)  # fmt: skip
OUTCOME = ("kind", "state", "reason", "wave", "not_curable", "gate")

ROLLED_BACK = ("removed", "restored", "absent", "kept", "unmanaged")

# Worst first: no port left, then what went wrong in this run, then what is short of ports.
_RANKS = {name: rank for rank, name in enumerate(("exhausted", "failed", "critical", "unreachable", "warning"))}
# Findings of hosts on which connects fail at this moment.
_FAILING_NOW = ("no-usable-port", "destination-exhausted")
_ERROR_LENGTH = 2000
_NOT_UNDERSTOOD = "its result was not understood"
_EXAMPLES = 3

Result = dict[str, Any]


@dataclass
class Host:
    """What is known of one host. aliases: how error messages may call it."""

    name: str
    aliases: frozenset[str] = frozenset()
    usage: Result | None = None
    usage_after: Result | None = None
    plan: Result | None = None
    changes: list[Result] = field(default_factory=list)
    stress: list[Result] = field(default_factory=list)
    outcome: Result | None = None
    error: str | None = None
    unreachable: bool = False
    understood: bool = True

    def observed(self, result: Mapping[str, Any], _check: bool) -> None:
        """After a change, the last look counts; before it too, unless it tells the same of fewer destinations."""
        look = _part(result, USAGE)
        if any(change["changed"] and not change["check_mode"] for change in self.changes):
            self.usage_after = look
        elif not self.usage or not _tells_less(look, self.usage):
            self.usage = look

    def planned(self, result: Mapping[str, Any], _check: bool) -> None:
        self.plan = _part(result, PLAN)

    def applied(self, result: Mapping[str, Any], check: bool) -> None:
        """A prediction counts until something else is said of the host; that a change still stands is nothing new."""
        self.changes = [change for change in self.changes if not change["check_mode"]]
        if not result["changed"] and any(change["changed"] for change in self.changes):
            return
        self.changes.append({**_part(result, CHANGE), "check_mode": check})
        if result["changed"] and result["file"] in ROLLED_BACK and not check:
            self.usage_after = None

    def stressed(self, result: Mapping[str, Any], _check: bool) -> None:
        self.stress.append(_part(result, STRESS))

    def concluded(self, result: Mapping[str, Any], _check: bool) -> None:
        self.outcome = _part(result, OUTCOME)

    @property
    def reason(self) -> str | None:
        """Why the host failed or could not be reached."""
        return self.error if self.error is not None or self.understood else _NOT_UNDERSTOOD

    @property
    def present(self) -> Result | None:
        return self.usage_after or self.usage

    @property
    def level(self) -> str:
        return str(self.present["level"]) if self.present else "unknown"

    @property
    def state(self) -> str:
        outcome = self.outcome["state"] if self.outcome else None
        if self.unreachable:
            return "unreachable"
        if outcome in ("failed", "rolled_back"):
            return str(outcome)
        if self.reason is not None:
            return "failed"
        return str(outcome) if outcome in STATES else self._state_by_deeds()

    def _state_by_deeds(self) -> str:
        if not self.changes:
            return "unchanged" if self.plan else "observed"
        done = [change for change in self.changes if change["changed"]]
        if not done:
            return "unchanged"
        if done[-1]["check_mode"]:
            return "would_change"
        return "rolled_back" if done[-1]["file"] in ROLLED_BACK else "changed"

    def as_dict(self) -> Result:
        return {
            "name": self.name,
            "state": self.state,
            "level": self.level,
            "error": self.reason,
            "usage": self.usage,
            "usage_after": self.usage_after,
            "plan": self.plan,
            "changes": self.changes,
            "stress": self.stress,
            "outcome": self.outcome,
        }


Record = Callable[[Host, Mapping[str, Any], bool], None]

# Which results are what, by the keys that they have to have, so that a censored one is passed over.
_MODULES: Mapping[str, tuple[frozenset[str], Record]] = {
    "port_usage_info": (frozenset({"level", "pools", "port_range", "findings"}), Host.observed),
    "sysctl_dropin": (frozenset({"changed", "path", "file", "settings"}), Host.applied),
    "curl_stress": (frozenset({"attempted", "succeeded", "errors"}), Host.stressed),
}
_FACTS: Mapping[str, tuple[frozenset[str], Record]] = {
    "timewait_rollout_outcome": (frozenset({"state"}), Host.concluded),
}
# Of the action remediation, in the order in which they came about; null where it did not come that far.
_STEPS: Mapping[str, tuple[frozenset[str], Record]] = {
    "usage": _MODULES["port_usage_info"],
    "plan": (frozenset(PLAN), Host.planned),
    "applied": _MODULES["sysctl_dropin"],
}
_REMEDIATION = "remediation"
_COLLECTION = "netops.ephemeral_ports"
_SET_FACT = ("set_fact", "ansible.builtin.set_fact", "ansible.legacy.set_fact")


def is_ours(action: str, role: str = "") -> bool:
    """Whether a task belongs to this collection."""
    collection, _dot, name = action.rpartition(".")
    return (collection in ("", _COLLECTION) and name in (*_MODULES, _REMEDIATION)) or role.startswith(f"{_COLLECTION}.")


def _parts(kind: str, result: object) -> list[tuple[tuple[frozenset[str], Record], object]]:
    if kind != _REMEDIATION:
        return [(_MODULES[kind], result)]
    steps = result if isinstance(result, Mapping) else {}
    return [(how, steps.get(name)) for name, how in _STEPS.items()]


class Fleet:
    """Hears of every task result of a run, in order.

    Losing a host counts only in plays in which this collection has a task: other plays are not its business.
    rehearse is given the report on one host, and raises where nothing can be made of it. A result of that kind is left
    out, and its host has failed, so that the other hosts have their report.
    """

    def __init__(self, rehearse: Callable[[Result], object] = lambda report: report) -> None:
        self.hosts: dict[str, Host] = {}
        self._rehearse = rehearse
        self._ours = False
        self._aside: list[tuple[str, frozenset[str], str, bool]] = []

    def play_started(self) -> None:
        self._ours = False
        self._aside.clear()

    def task_started(self, action: str, role: str = "") -> None:
        if not self._ours and is_ours(action, role):
            self._ours = True
            for lost in self._aside:
                self._lose(*lost)
            self._aside.clear()

    def heard(self, name: str, action: str, result: Mapping[str, Any], check: bool = False) -> None:
        """A task has returned. Loops return one result for each item."""
        host = self.hosts.get(name)
        if host and host.unreachable:
            host.unreachable, host.error = False, None
        if action in _SET_FACT:
            facts = result.get("ansible_facts")
            known = facts if isinstance(facts, Mapping) else {}
            told = [(_FACTS[key], value) for key, value in known.items() if key in _FACTS]
        elif is_ours(action):
            kind, items = action.rpartition(".")[2], result.get("results")
            told = [
                part for one in (items if items and isinstance(items, list) else [result]) for part in _parts(kind, one)
            ]
        else:
            return
        for (needed, record), value in told:
            if isinstance(value, Mapping) and needed <= value.keys():
                self._record(record, name, value, check)

    def lost(self, name: str, aliases: Iterable[str], message: str, unreachable: bool) -> None:
        """A host has failed or cannot be reached."""
        lost = (name, frozenset(aliases), " ".join(message.split())[:_ERROR_LENGTH], unreachable)
        if self._ours:
            self._lose(*lost)
        else:
            self._aside.append(lost)

    def settle(self, failed: Iterable[str]) -> None:
        """At the end of a run: hosts whose failure was rescued have not failed."""
        stands = set(failed)
        for host in self.hosts.values():
            if not host.unreachable and host.name not in stands:
                host.error = None

    def _record(self, record: Record, name: str, value: Mapping[str, Any], check: bool) -> None:
        host = self._host(name)
        trial = replace(host, changes=[*host.changes], stress=[*host.stress])
        try:
            record(trial, _plain(value), check)
            self._rehearse({"schema": SCHEMA, "summary": summarise([trial]), "hosts": worst_first([trial.as_dict()])})
        except Exception:  # whatever a result of an odd shape leads to
            host.understood = False
        else:
            self.hosts[name] = trial

    def _host(self, name: str) -> Host:
        return self.hosts.setdefault(name, Host(name))

    def _lose(self, name: str, aliases: frozenset[str], message: str, unreachable: bool) -> None:
        host = self._host(name)
        host.aliases, host.error, host.unreachable = aliases, message, unreachable


def make_report(fleet: Fleet, meta: Mapping[str, Any]) -> Result:
    """The report: hosts by name, and what they have in common."""
    hosts = sorted(fleet.hosts.values(), key=lambda host: natural(host.name))
    return {
        "schema": SCHEMA,
        "meta": dict(meta),
        "summary": summarise(hosts),
        "hosts": [host.as_dict() for host in hosts],
    }


def summarise(hosts: Sequence[Host]) -> Result:
    levels, states = Counter(host.level for host in hosts), Counter(host.state for host in hosts)
    return {
        "hosts": len(hosts),
        "levels": {level: levels[level] for level in LEVELS},
        "states": {state: states[state] for state in STATES},
        "findings": _group_findings(hosts),
        "destinations": _group_destinations(hosts),
        "settings": _group_settings(hosts),
        "lost": _group_losses(hosts),
        "not_curable": _group(
            ({"reason": host.outcome["not_curable"]}, host.name)
            for host in hosts
            if host.outcome and host.outcome.get("not_curable")
        ),
        "waves": _group_waves(hosts),
    }


def worst_first(hosts: Iterable[Result]) -> list[Result]:
    return sorted(hosts, key=_badness)


def is_in_trouble(host: Mapping[str, Any]) -> bool:
    return _rank(host) < len(_RANKS)


def present_usage(host: Mapping[str, Any]) -> Result | None:
    """The last look at a host."""
    usage: Result | None = host["usage_after"] or host["usage"]
    return usage


def natural(name: str) -> list[tuple[int, int, str]]:
    """For sorting: web9 before web10."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]


def recent_rate(destination: Mapping[str, Any]) -> float:
    """Connections closed per second, over the longest time up to 10 s of which nothing is missing."""
    window = "last_10s" if destination["hold_seconds"] >= 10 else "last_1s"
    return float(destination["rate"][window])


def source_and_place(destination: Mapping[str, Any]) -> tuple[str, str]:
    """Which destination of a host this is."""
    return destination["source"], format_destination(destination)


def _rank(host: Mapping[str, Any]) -> int:
    trouble = "failed" if host["state"] == "rolled_back" and host["outcome"] else host["state"]
    return min(_RANKS.get(host["level"], len(_RANKS)), _RANKS.get(trouble, len(_RANKS)))


def _badness(host: Result) -> tuple[Any, ...]:
    usage = present_usage(host)
    worst = usage["pools"][0] if usage and usage["pools"] else None
    loads = (-worst["saturation"], -worst["forecast"]["saturation"]) if worst else (1.0, 0.0)
    severities = [SEVERITIES.index(finding["severity"]) for finding in usage["findings"]] if usage else []
    return _rank(host), *loads, min(severities, default=len(SEVERITIES)), natural(host["name"])


def _group(pairs: Iterable[tuple[Mapping[str, Any], str]]) -> list[Result]:
    """Hosts that have the same in common, the most first. What they have in common has to be plain strings."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    shapes: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for common, name in pairs:
        key = tuple(common.values())
        shapes.setdefault(key, common)
        groups.setdefault(key, []).append(name)
    found = [{**shapes[key], "hosts": len(names), "names": names} for key, names in groups.items()]
    return sorted(found, key=lambda group: -group["hosts"])


def _group_losses(hosts: Iterable[Host]) -> list[Result]:
    def losses() -> Iterable[tuple[Mapping[str, Any], str]]:
        for host in hosts:
            if host.state in ("failed", "unreachable") or (host.state == "rolled_back" and host.outcome):
                concluded = (host.outcome or {}).get("reason") if host.state != "unreachable" else None
                reason = concluded or host.reason or "no reason given"
                yield {"state": host.state, "reason": _anonymous(reason, host)}, host.name

    return _group(losses())


def _anonymous(message: str, host: Host) -> str:
    """The message without the host's own names, so that one cause has one message."""
    names = sorted((re.escape(name) for name in {host.name, *host.aliases} if name), key=len, reverse=True)
    return re.sub(rf"(?<![\w.-])(?:{'|'.join(names)})(?![\w-])", "HOST", message)


def _group_findings(hosts: Iterable[Host]) -> list[Result]:
    """By identifier, with the remedies from the most frequent on."""
    causes: dict[str, list[tuple[str, Result]]] = {}
    for host in hosts:
        for finding in host.present["findings"] if host.present else []:
            causes.setdefault(finding["id"], []).append((host.name, finding))
    groups = [
        {
            "id": identifier,
            "severity": min((finding["severity"] for _name, finding in told), key=SEVERITIES.index),
            "hosts": len({name for name, _finding in told}),
            "names": list(dict.fromkeys(name for name, _finding in told)),
            "remedies": [remedy for remedy, _n in Counter(finding["remedy"] for _name, finding in told).most_common()],
            "examples": [{"host": name, "summary": finding["summary"]} for name, finding in told[:_EXAMPLES]],
        }
        for identifier, told in causes.items()
    ]

    def badness(group: Result) -> tuple[Any, ...]:
        return SEVERITIES.index(group["severity"]), group["id"] not in _FAILING_NOW, -group["hosts"], group["id"]

    return sorted(groups, key=badness)


def _group_destinations(hosts: Iterable[Host]) -> list[Result]:
    """Whom the hosts connect to, whatever their own address: the most loaded first."""
    seen: dict[str, list[tuple[str, Result]]] = {}
    for host in hosts:
        for destination in host.present["pools"] if host.present else []:
            seen.setdefault(format_destination(destination), []).append((host.name, destination))
    groups = [
        {
            "destination": name,
            "level": min((one["level"] for _host, one in told), key=LEVELS.index),
            "saturation": max(one["saturation"] for _host, one in told),
            "rate": round(sum(recent_rate(one) for _host, one in told), 1),
            "hosts": len({host for host, _one in told}),
            "hosts_in_trouble": len({host for host, one in told if one["level"] != "ok"}),
        }
        for name, told in seen.items()
    ]

    def badness(group: Result) -> tuple[Any, ...]:
        return LEVELS.index(group["level"]), -group["hosts_in_trouble"], -group["saturation"], -group["rate"]

    return sorted(groups, key=badness)


def _group_settings(hosts: Iterable[Host]) -> list[Result]:
    """What changed, or would: how is changed, rolled_back, would_change or planned."""

    def settings() -> Iterable[tuple[Mapping[str, Any], str]]:
        for host in hosts:
            for change in host.changes:
                how = "would_change" if change["check_mode"] else "changed"
                if change["file"] in ROLLED_BACK and how == "changed":
                    how = "rolled_back"
                for one in change["settings"]:
                    if one["before"] != one["after"]:
                        yield {"how": how, "key": one["key"], "before": one["before"], "after": one["after"]}, host.name
            for one in host.plan["settings"] if host.plan and not host.changes else []:
                if one["action"] == "set":
                    before, after = one["current"], one["wanted"]
                    yield {"how": "planned", "key": one["key"], "before": before, "after": after}, host.name

    return _group(settings())


def _group_waves(hosts: Iterable[Host]) -> list[Result]:
    """Waves of a rollout, in order, with the states that their hosts came to."""
    waves: dict[int, Counter[str]] = {}
    for host in hosts:
        if host.outcome and host.outcome.get("wave") is not None:
            waves.setdefault(int(host.outcome["wave"]), Counter())[host.state] += 1
    return [
        {"wave": wave, "hosts": sum(states.values()), "states": {name: states[name] for name in STATES if states[name]}}
        for wave, states in sorted(waves.items())
    ]


def _tells_less(look: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """As looks of timewait_remediate do, which asks for the most loaded destination only."""
    return bool(look["level"] == before["level"] and len(look["pools"]) < len(before["pools"]))


def _part(result: Mapping[str, Any], names: Sequence[str]) -> Result:
    return {name: result[name] for name in names if name in result}


def _plain(value: Mapping[str, Any]) -> Result:
    """Ansible marks strings with where they come from; the report has none of that. JSON has no NaN and no infinity."""
    text = json.dumps(value, default=str)
    copy: Result = json.loads(text, object_pairs_hook=_share_text, parse_constant=lambda _name: None)
    return copy


def _share_text(pairs: list[tuple[str, Any]]) -> Result:
    """Thousands of hosts say the same in the same words: in memory one copy is enough."""
    return {intern(key): intern(value) if isinstance(value, str) else value for key, value in pairs}

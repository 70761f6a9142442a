# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one host in a run, and what that makes of it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from ...module_utils._usage.places import worst_place
from .._model import (
    ApplyResult,
    Change,
    ChangeElsewhere,
    Gateway,
    HostOutcome,
    HostReport,
    Level,
    LoadResult,
    NamespaceApplyResult,
    NamespaceResult,
    Plan,
    Pool,
    Severity,
    State,
    Usage,
    Users,
)
from .._plan.lasting import lasting_way_of

LEVELS: tuple[Level, ...] = get_args(Level)
STATES: tuple[State, ...] = get_args(State)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

# What a rollback did with the file.
ROLLED_BACK = ("removed", "restored", "absent", "kept", "unmanaged")

_NOT_UNDERSTOOD = "its result was not understood"


def latest_usage(host: HostReport) -> Usage | None:
    return host["usage_after"] or host["usage"]


def worst_usage(host: HostReport) -> Usage | None:
    """That of the network namespace at whose level the host is."""
    usage = latest_usage(host)
    return usage and worst_place(usage)


def pools_before(host: HostReport) -> list[Pool]:
    """Of a host that was observed before and after a change."""
    return host["usage"]["pools"] if host["usage"] and host["usage_after"] else []


@dataclass(slots=True)
class Host:
    """Takes in one result after the other. aliases: how error messages may call the host.

    foreseen: whether outcome is one of check mode. odd: what was wrong with a result that could not be used.
    gateway: as the inventory says, of a host that was lost.
    """

    name: str
    aliases: frozenset[str] = frozenset()
    usage: Usage | None = None
    usage_after: Usage | None = None
    users: Users | None = None
    plan: Plan | None = None
    changes: list[Change] = field(default_factory=list)
    elsewhere: list[ChangeElsewhere] = field(default_factory=list)
    loads: list[LoadResult] = field(default_factory=list)
    outcome: HostOutcome | None = None
    foreseen: bool = False
    error: str | None = None
    unreachable: bool = False
    odd: str | None = None
    gateway: Gateway | None = None

    def on_usage(self, usage: Usage) -> None:
        """After a change, the last usage counts; before it too, unless it tells the same of fewer destinations."""
        if any(change["changed"] and not change["check_mode"] for change in self.changes):
            self.usage_after = usage
        elif not self.usage or not _tells_less(usage, self.usage):
            self.usage = usage

    def on_users(self, users: Users) -> None:
        self.users = users

    def on_plan(self, plan: Plan) -> None:
        self.plan = plan

    def on_apply(self, applied: ApplyResult, check: bool) -> None:
        """A prediction counts until something else is said of the host; that a change still stands is nothing new."""
        self.changes = [change for change in self.changes if not change["check_mode"]]
        if not applied["changed"] and any(change["changed"] for change in self.changes):
            return
        self.changes.append({**applied, "check_mode": check})
        if applied["changed"] and applied["file"] in ROLLED_BACK and not check:
            self.usage_after = None

    def on_elsewhere(self, applied: NamespaceApplyResult, check: bool) -> None:
        """Of other network namespaces. That what was set still stands is nothing new."""
        if applied["changed"] or not any(one["status"] == "changed" for one in self.elsewhere):
            self.elsewhere = [_change_elsewhere(one, check) for one in applied["namespaces"]]

    def on_load(self, load: LoadResult) -> None:
        self.loads.append(load)

    def on_outcome(self, outcome: HostOutcome, check: bool) -> None:
        self.outcome, self.foreseen = outcome, check

    def on_failure(self, reason: str, unreachable: bool, aliases: frozenset[str]) -> None:
        self.error, self.unreachable, self.aliases = reason, unreachable, aliases

    @property
    def reason(self) -> str | None:
        """Why the host failed or could not be reached."""
        if self.error is None and self.odd is not None:
            return f"{_NOT_UNDERSTOOD}: {self.odd}"
        return self.error

    @property
    def latest_usage(self) -> Usage | None:
        return self.usage_after or self.usage

    @property
    def level(self) -> Level:
        """Where connects fail for want of a port, in any network namespace, the host is not well."""
        if self.users and self.users["no_port"] and not self.usage_after:
            return "exhausted"
        return self.latest_usage["level"] if self.latest_usage else "unknown"

    @property
    def state(self) -> State:
        outcome = self.outcome["state"] if self.outcome else None
        if self.unreachable:
            return "unreachable"
        if self.foreseen and outcome in ("pending", "rolled_back"):
            return "would_change"
        if outcome in ("failed", "rolled_back"):
            return outcome
        if self.reason is not None:
            return "failed"
        return outcome or self._state_by_changes()

    def _state_by_changes(self) -> State:
        effective = [change for change in self.changes if change["changed"]]
        if not effective:
            return self._state_elsewhere()
        if effective[-1]["check_mode"]:
            return "would_change"
        return "rolled_back" if effective[-1]["file"] in ROLLED_BACK else "changed"

    def _state_elsewhere(self) -> State:
        for one in self.elsewhere:
            if one["status"] == "changed":
                return "would_change" if one["check_mode"] else "changed"
        for one in self.elsewhere:
            if one["status"] == "rolled_back":
                return "would_change" if one["check_mode"] else "rolled_back"
        return "unchanged" if self.plan or self.changes or self.elsewhere else "observed"

    def report(self) -> HostReport:
        return {
            "name": self.name,
            "state": self.state,
            "level": self.level,
            "error": self.reason,
            "usage": self.usage,
            "usage_after": self.usage_after,
            "users": self.users,
            "plan": self.plan,
            "changes": self.changes,
            "elsewhere": self.elsewhere,
            "stress": self.loads,
            "outcome": self.outcome,
            "gateway": self.gateway,
        }


def _change_elsewhere(one: NamespaceResult, check: bool) -> ChangeElsewhere:
    namespace = one["namespace"]
    wanted = {setting["key"]: setting["wanted"] for setting in one["settings"]} if one["status"] != "gone" else {}
    return {**one, "lasting_way": lasting_way_of(namespace, wanted), "check_mode": check}


def _tells_less(usage: Usage, before: Usage) -> bool:
    """As the action remediation does, which asks for the most loaded destination only."""
    return usage["level"] == before["level"] and len(usage["pools"]) < len(before["pools"])

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of a run returned, taken in host by host. No I/O, no clock.

Every result is checked here, once, against the types of _model, and told apart by its field kind. All that comes after
can rely on them: a result of another shape costs its host its place, and nobody the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._border import NotUnderstoodError, clean, parse
from .._model import (
    ApplyResult,
    Diagnosis,
    HostOutcome,
    LoadResult,
    NamespaceApplyResult,
    Plan,
    Remediation,
    StepResult,
    Usage,
    Users,
)
from .host import Host

COLLECTION = "netops.ephemeral_ports"
ACTIONS = (
    "diagnosis",
    "port_usage_info",
    "port_users_info",
    "sysctl_dropin",
    "namespace_sysctls",
    "curl_stress",
    "remediation",
    "rollout_host",
)

_REASON_LENGTH = 2000

Take = Callable[[Host, object, bool], None]


def is_ours(action: str, role: str = "") -> bool:
    """Whether a task belongs to this collection."""
    return _is_ours(action) or role.startswith(f"{COLLECTION}.")


def _is_ours(action: str) -> bool:
    collection, _dot, name = action.rpartition(".")
    return collection in ("", COLLECTION) and name in ACTIONS


class Fleet:
    """Hears of every task result of a run, in order.

    Losing a host counts only in plays in which this collection has a task: other plays are not its business.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._ours = False
        self._not_yet_ours: list[tuple[str, frozenset[str], str, bool]] = []

    def on_play(self) -> None:
        self._ours = False
        self._not_yet_ours.clear()

    def on_task(self, action: str, role: str = "") -> None:
        if not self._ours and is_ours(action, role):
            self._ours = True
            for failure in self._not_yet_ours:
                self._fail(*failure)
            self._not_yet_ours.clear()

    def on_result(self, name: str, action: str, result: Mapping[str, Any], check: bool = False) -> None:
        """A task has returned. Loops return one result for each item."""
        host = self.hosts.get(name)
        if host and host.unreachable:
            host.unreachable, host.error = False, None
        if _is_ours(action):
            items = result.get("results")
            for one in items if items and isinstance(items, list) else [result]:
                self._take(name, one, check)

    def on_failure(self, name: str, aliases: Iterable[str], message: str, unreachable: bool) -> None:
        """A host has failed or cannot be reached."""
        failure = (name, frozenset(aliases), " ".join(clean(message, _REASON_LENGTH).split()), unreachable)
        if self._ours:
            self._fail(*failure)
        else:
            self._not_yet_ours.append(failure)

    def finish(self, failed: Iterable[str]) -> None:
        """At the end of a run: hosts whose failure was rescued have not failed."""
        final = set(failed)
        for host in self.hosts.values():
            if not host.unreachable and host.name not in final:
                host.error = None

    def has_gateways(self) -> bool:
        """Whether any host that was observed is behind a NAT gateway."""
        return any(host.usage and host.usage["gateway"] for host in self.hosts.values())

    def lost(self) -> list[str]:
        """Hosts of which nothing was observed."""
        return [host.name for host in self.hosts.values() if not host.latest_usage]

    def _take(self, name: str, result: object, check: bool) -> None:
        """One without a kind is no result of ours: it was censored, or the task failed before there was one."""
        if isinstance(result, (dict, Mapping)) and "kind" not in result:
            result = result.get("invocation")  # as failed() of _host_action has it
        kind = result.get("kind") if isinstance(result, (dict, Mapping)) else None
        if kind is None:
            return
        host = self._host(name)
        try:
            if not isinstance(kind, str) or kind not in _KINDS:
                raise NotUnderstoodError(f"unknown kind {clean(str(kind), 40)}")
            _KINDS[kind](host, result, check)
        except NotUnderstoodError as error:
            host.odd = str(error)

    def _host(self, name: str) -> Host:
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name)
        return host

    def _fail(self, name: str, aliases: frozenset[str], reason: str, unreachable: bool) -> None:
        self._host(name).on_failure(reason, unreachable, aliases)


def _take_diagnosis(host: Host, result: object, _check: bool) -> None:
    diagnosis = parse(Diagnosis, result)
    host.on_usage(diagnosis["usage"])
    if diagnosis["users"]:
        host.on_users(diagnosis["users"])


def _take_remediation(host: Host, result: object, check: bool) -> None:
    remediation = parse(Remediation, result)
    _take_steps(host, remediation["usage"], remediation["plan"], remediation["applied"], check)
    if remediation["namespaces_applied"]:
        host.on_elsewhere(remediation["namespaces_applied"], check)


def _take_outcome(host: Host, result: object, check: bool) -> None:
    """Of all that the result of a step of a rollout carries, what this step has found."""
    outcome = parse(HostOutcome, result)
    if isinstance(result, Mapping) and "step" in result:
        step = parse(StepResult, result)
        if step["step"] == "observe":
            _take_steps(host, step["first"], step["plan"], step["applied"], check=True)
        elif step["step"] == "apply":
            _take_steps(host, step["before"], step["plan"], step["applied"], check)
        elif step["step"] == "judge":
            _take_steps(host, step["after"], None, None, check)
        elif step["step"] == "revert":
            _take_steps(host, None, None, step["reverted"], check)
    host.on_outcome(outcome, check)


def _take_steps(host: Host, usage: Usage | None, plan: Plan | None, applied: ApplyResult | None, check: bool) -> None:
    """In the order in which they came about."""
    if usage:
        host.on_usage(usage)
    if plan:
        host.on_plan(plan)
    if applied:
        host.on_apply(applied, check)


_KINDS: Mapping[str, Take] = {
    "usage": lambda host, result, _check: host.on_usage(parse(Usage, result)),
    "users": lambda host, result, _check: host.on_users(parse(Users, result)),
    "diagnosis": _take_diagnosis,
    "apply": lambda host, result, check: host.on_apply(parse(ApplyResult, result), check),
    "namespace_apply": lambda host, result, check: host.on_elsewhere(parse(NamespaceApplyResult, result), check),
    "load": lambda host, result, _check: host.on_load(parse(LoadResult, result)),
    "remediation": _take_remediation,
    "outcome": _take_outcome,
}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in words what is planned, what was applied, and what became of a host in a rollout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...module_utils._common.layout import indented, labelled
from ...module_utils._common.text import format_at_most, place_name
from .._model import (
    ApplyResult,
    HostOutcome,
    KeyResult,
    NamespaceApplyResult,
    NamespaceKeyResult,
    NamespacePlan,
    NamespaceResult,
    Plan,
    Remediation,
    Setting,
    StepResult,
)
from .wording import format_change

_THE_WAY = "For ever it is set where the namespace is made:"

_RECOVERED = "An earlier run was interrupted; what it had changed was rolled back first."

APPLY_NOTES = {
    "skipped": " (skipped: this kernel does not have it)",
    "kept": " (kept: somebody else's by now, or refused)",
}


def describe_remediation(result: Remediation) -> list[str]:
    """Lines for the result of the action remediation: the plan, and what was applied of it."""
    plan, applied, elsewhere = result["plan"], result["applied"], result["namespaces_applied"]
    lines = describe_plan(plan) if plan else []
    if applied:
        lines += describe_apply(applied, result["check_mode"])
    elif plan and not plan["dropin"]:
        lines += labelled("Note", "The policy leaves every setting alone.")
    for one in result["namespaces"]:
        first, *rest = describe_plan(one["plan"])
        lines += [f"In {place_name(one['namespace'])}: {first}", *rest]
    if elsewhere:
        lines += describe_elsewhere(elsewhere, result["check_mode"])
    return lines + describe_lasting(result["namespaces"])


def describe_lasting(plans: Sequence[NamespacePlan]) -> list[str]:
    """That what was set elsewhere is lost, and how it would last."""
    ways = [one for one in plans if one["lasting_way"]]
    lines = labelled("Lasts", f"not: what is set in another network namespace ends with it. {_THE_WAY}") if ways else []
    for one in ways:
        lines += [f"{place_name(one['namespace'])}:", *(f"  {line}" for line in one["lasting_way"].split("\n"))]
    return lines


def describe_elsewhere(result: NamespaceApplyResult, check: bool) -> list[str]:
    """Lines for the result of namespace_sysctls."""
    lines: list[str] = []
    for one in result["namespaces"]:
        lines.append(f"{_what_became_of(one, check)}.")
        lines += _results(one["settings"])
    if not lines:
        lines.append("UNCHANGED: nothing was set in other network namespaces, and nothing is to be rolled back.")
    if result["recovered"]:
        lines += labelled("Note", _RECOVERED)
    return lines


def _results(settings: Sequence[KeyResult] | Sequence[NamespaceKeyResult]) -> Iterator[str]:
    """Of those that changed, or of which there is a word to say."""
    for one in settings:
        note = APPLY_NOTES.get(one["status"], "")
        if note or one["before"] != one["after"]:
            yield f"  {one['key']}: {format_change(one['before'], one['after'])}{note}"


def _what_became_of(one: NamespaceResult, check: bool) -> str:
    name = place_name(one["namespace"])
    if one["status"] == "gone":
        return f"GONE: {name} has ended, and with it what was set there; there is nothing to do"
    if one["status"] == "rolled_back":
        return f"{'WOULD ROLL BACK' if check else 'ROLLED BACK'}: {name}"
    if one["status"] == "unchanged":
        return f"UNCHANGED: {name} has these values already"
    return f"WOULD CHANGE: {name}, until it ends" if check else f"CHANGED: {name} (verified), until it ends"


def describe_plan(plan: Plan) -> list[str]:
    """Lines for the result of remediation_plan."""
    settings, rate = plan["settings"], plan["sustainable_rate"]
    changes = sum(setting["action"] in ("set", "release") or _goes_back(setting) for setting in settings)
    limit = f"at most {format_at_most(rate['after'])} new connections/s per destination"
    if not changes:
        lines = [f"NO CHANGE: {limit}."]
    elif rate["after"] == rate["before"]:
        lines = [f"CHANGE {changes} of {len(settings)} settings: still {limit}."]
    else:
        way = "up" if rate["after"] > rate["before"] else "down"
        lines = [f"CHANGE {changes} of {len(settings)} settings: {limit}, {way} from {format_at_most(rate['before'])}."]
    for setting in settings:
        values = format_change(setting["current"], setting["wanted"])
        lines.append(f"  {setting['action']:<11} {setting['key']}: {values}")
        lines += indented(setting["reason"], indent=14)
    return lines


def _goes_back(setting: Setting) -> bool:
    """What of ours is refused from now on."""
    return setting["action"] == "refuse" and setting["wanted"] not in (None, setting["current"])


def describe_apply(result: ApplyResult, check: bool) -> list[str]:
    """Lines for the result of sysctl_dropin."""
    lines = [what_was_applied(result, check)]
    lines += _results(result["settings"])
    if result["recovered"]:
        lines += labelled("Note", _RECOVERED)
    if result["on_trial"] and not check:
        lines += labelled("Note", "On trial: until it is confirmed, this change can be rolled back on its own.")
    return lines


def what_was_applied(result: ApplyResult, check: bool) -> str:
    path, file = result["path"], result["file"]
    if file == "kept":
        return f"KEPT: {path} was edited after it was applied. Remove it and roll back again to roll back everything."
    if file == "unmanaged":
        return f"UNCHANGED: there is no journal for {path}, so there is nothing to roll back."
    if not result["changed"]:
        if file == "absent":
            return f"UNCHANGED: {path} does not exist, and there is nothing to roll back."
        return f"UNCHANGED: {path} and the running kernel already match."
    if file in ("removed", "restored", "absent"):
        what = f"{path} was removed already" if file == "absent" else f"{path} is {file}"
        return f"WOULD ROLL BACK: {what}." if check else f"ROLLED BACK: {what}."
    in_kernel = any(setting["before"] != setting["after"] for setting in result["settings"])
    if not in_kernel:
        return f"{'WOULD CHANGE' if check else 'CHANGED'}: {path}; the running kernel has these values already."
    what = "the running kernel" if file == "unchanged" else f"{path} and the running kernel"
    return f"WOULD CHANGE: {what}." if check else f"CHANGED: {what} (verified)."


def describe_step(step: StepResult, check: bool) -> list[str]:
    """Lines for the result of a step of a rollout: the outcome so far, and what this step found or did."""
    check = check or step["check_mode"]
    lines, applied = describe_outcome(step, check), step["applied"]
    if step["step"] == "observe":
        lines += describe_plan(step["plan"]) if step["plan"] else []
        lines += describe_apply(applied, check=True) if applied else []
    elif step["step"] == "confirm" and step["state"] == "changed" and applied:
        lines += describe_apply({**applied, "on_trial": False}, check)
    elif step["step"] == "revert" and step["reverted"]:
        lines += describe_apply(step["reverted"], check)
    return lines


def describe_outcome(outcome: HostOutcome, check: bool) -> list[str]:
    """Lines for what became of a host in a rollout."""
    gate = outcome["gate"]
    lines = [what_became(outcome, check)]
    if outcome["reason"]:
        lines += labelled("Why", outcome["reason"])
    for one in gate["checks"] if gate else ():
        lines += indented(f"{one['status']:<8} {one['id']}: {one['message']}", indent=2, hanging=9)
    if outcome["not_curable"]:
        lines += labelled("Limits", f"Sysctls alone cannot cure this host. {outcome['not_curable']}")
    return lines


def what_became(outcome: HostOutcome, check: bool) -> str:
    state, gate = outcome["state"], outcome["gate"]
    wave = f" in wave {outcome['wave']}" if outcome["wave"] else ""
    if state == "unchanged":
        return "UNCHANGED: there is nothing to change on this host."
    if state == "pending":
        return f"WOULD CHANGE{wave or ' in its wave'}." if check else "PENDING: it will be changed in its wave."
    if state == "rolled_back":
        return f"WOULD ROLL BACK{wave}." if check else f"ROLLED BACK{wave}: this host is as it was before its wave."
    if not gate:
        return f"FAILED{wave}." if state == "failed" else f"{state.upper()}{wave}."
    tally = Counter(one["status"] for one in gate["checks"])
    counts = ", ".join(f"{tally[status]} {status}" for status in ("passed", "failed", "unknown") if tally[status])
    return f"{state.upper()}{wave}: of {len(gate['checks'])} checks {counts}."

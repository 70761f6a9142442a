# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a host in a rollout, and of a wave. Pure: no I/O, no clock.

An outcome has state (unchanged, pending, changed, rolled_back, failed), reason, wave, not_curable and gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils._text import format_destination
from . import gate as rollout_gate

Outcome = dict[str, Any]
Result = Mapping[str, Any]

# From here on connect() is slow, so a destination that stays above is not cured.
_CRITICAL = 0.5
_NAMES_SHOWN = 5

LOST = "unreachable since the change began, so its state is unknown: run the rollback, or this again, when it is back"


def foresee(usage: Result, plan: Result, predicted: Result) -> Outcome:
    """The outcome of a host before its wave.

    usage: from port_usage_info with detail full. predicted: what sysctl_dropin says in check mode, with trial.
    Raises ValueError for something that is no result of this collection.
    """
    try:
        on_trial = bool(predicted.get("on_trial"))
        changes = _changes(predicted)
        reason = None if changes or not on_trial else "An earlier rollout has changed it and was not able to judge it."
        beyond = " ".join(_beyond(usage, plan)) or None
    except (KeyError, TypeError, AttributeError) as error:
        wanted = "results of port_usage_info, remediation_plan and sysctl_dropin"
        raise ValueError(f"expected {wanted}; this is none: {error!r}") from error
    return _outcome("pending" if changes or on_trial else "unchanged", reason, beyond=beyond)


def _changes(predicted: Result) -> bool:
    """Not by `changed`, which a task may have overruled: a prediction changes nothing itself."""
    settings = predicted.get("settings", [])
    return predicted.get("file") in ("created", "changed") or any(one["status"] == "changed" for one in settings)


def judged(
    outcome: Result,
    wave: int,
    first: Result,
    before: Result,
    applied: Result,
    after: Result,
    limits: rollout_gate.Limits,
) -> Outcome:
    """The outcome of a host after the soak. Raises ValueError as the gate does."""
    if after.get("unreachable"):
        return _outcome("failed", f"{LOST}.", wave, outcome.get("not_curable"))
    gate = rollout_gate.judge(first, before, applied, after, limits, outcome.get("not_curable"))
    failed = [check for check in gate["checks"] if check["status"] == rollout_gate.FAILED]
    reason = "; ".join(f"{check['id']}: {check['message']}" for check in failed) or None
    return _outcome("failed" if failed else "changed", reason, wave, outcome.get("not_curable"), gate)


def wave_verdict(outcomes: Mapping[str, Result | None], alive: Sequence[str]) -> dict[str, Any]:
    """Whether a wave may stay, and why not. outcomes: of each host that began it. alive: who can still be reached."""
    still = frozenset(alive)
    failed = [host for host, outcome in outcomes.items() if outcome and outcome["state"] == "failed" and host in still]
    lost = [host for host in outcomes if host not in still]
    why = [f"{host}: {(outcomes[host] or {}).get('reason')}" for host in failed[:_NAMES_SHOWN]]
    if len(failed) > _NAMES_SHOWN:
        why.append(f"and {len(failed) - _NAMES_SHOWN} more")
    if lost:
        more = f" and {len(lost) - _NAMES_SHOWN} more" if len(lost) > _NAMES_SHOWN else ""
        why.append(f"{', '.join(lost[:_NAMES_SHOWN])}{more}: {LOST}")
    return {"passed": not why, "failed": failed, "lost": lost, "reason": "; ".join(why) or None}


def _outcome(
    state: str, reason: str | None, wave: int | None = None, beyond: str | None = None, gate: Result | None = None
) -> Outcome:
    return {"kind": "outcome", "state": state, "reason": reason, "wave": wave, "not_curable": beyond, "gate": gate}


def _beyond(usage: Result, plan: Result) -> Iterator[str]:
    """Why the planned sysctls will not cure the host, each reason with what would."""
    for finding in usage["findings"]:
        if finding["id"] == "bind-before-connect":
            yield f"{finding['summary']} {finding['remedy']}"
    rate = plan["sustainable_rate"]
    usable = max(0, rate["usable_after"] - (usage["port_range"]["held"] or 0))
    for one in usage["pools"]:
        reason = _too_much(one, usable, min(one["hold_seconds"], rate["hold_seconds_after"]))
        if reason:
            yield reason
            return  # the most loaded comes first


def _too_much(one: Result, usable: int, hold_seconds: float) -> str | None:
    """What a destination needs beyond the ports that it will have, if it does."""
    name, keep = format_destination(one), "Let the client keep its connections (HTTP keep-alive, a pool)"
    ports = f"of the {usable} ports that there will be towards {name}"
    if one["live"] >= usable * _CRITICAL:
        waiting = one["fin_wait2"]
        if waiting * 2 >= one["live"]:
            return f"{waiting} {ports} wait in FIN_WAIT_2 for the peer to close. Mend the peer, it keeps its end open."
        return f"{one['live']} {ports} carry open connections. Use fewer of them, or more destination addresses."
    per_second = one["rate"]["last_10s" if hold_seconds >= 10 else "last_1s"]
    wanted = one["live"] + per_second * hold_seconds
    if wanted < usable:
        return None
    return (
        f"At {per_second:g} new connections per second {wanted:.0f} {ports} would be needed. "
        f"{keep}, or use more destination addresses."
    )

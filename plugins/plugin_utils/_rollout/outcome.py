# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a host in a rollout, and of a wave. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypedDict

from ...module_utils._common.layout import cut_middle
from ...module_utils._common.text import format_destination
from ...module_utils._kernel.ports import FIRST_HALF
from .. import _border
from .._model import (
    ApplyResult,
    Gate,
    HostOutcome,
    HostState,
    Plan,
    Pool,
    RolloutStep,
    StepResult,
    Usage,
    WaveVerdict,
)

# Where a play has the outcome of each host.
VARIABLE = "timewait_rollout_outcome"

Event = Literal["nothing_to_do", "to_change", "applied", "passed", "confirmed", "rolled_back", "failed"]

# The state of a host and what came out of a step, with the state that follows. What is not here cannot happen.
# A change that is applied stays pending: only the gate makes it one that counts.
TRANSITIONS: Mapping[tuple[HostState, Event], HostState] = {
    ("unchanged", "nothing_to_do"): "unchanged",
    ("unchanged", "to_change"): "pending",
    ("unchanged", "rolled_back"): "rolled_back",
    ("unchanged", "failed"): "failed",
    ("pending", "applied"): "pending",
    ("pending", "passed"): "changed",
    ("pending", "rolled_back"): "rolled_back",
    ("pending", "failed"): "failed",
    ("changed", "confirmed"): "changed",
    ("changed", "rolled_back"): "rolled_back",
    ("changed", "failed"): "failed",
    ("failed", "rolled_back"): "rolled_back",
    ("failed", "failed"): "failed",
    ("rolled_back", "rolled_back"): "rolled_back",
    ("rolled_back", "failed"): "failed",
}

_NAMES_SHOWN = 5
# Of a reason, here and where the reasons of several hosts are quoted.
_REASON, _QUOTED = 2_000, 600

LOST = "unreachable since the change began, so its state is unknown: when it is back, rerun the rollout, or roll back"
_LEFT = "left the run since the change began, so the state is unknown: rerun the rollout, or roll back"


class Told(TypedDict):
    """What counts of the outcome of another host."""

    state: HostState
    reason: str | None


def begin(step: RolloutStep, check_mode: bool) -> StepResult:
    """Of a host that no rollout has observed."""
    return {
        "kind": "outcome",
        "state": "unchanged",
        "reason": None,
        "wave": None,
        "not_curable": None,
        "gate": None,
        "step": step,
        "changed": False,
        "check_mode": check_mode,
        "first": None,
        "before": None,
        "after": None,
        "plan": None,
        "applied": None,
        "reverted": None,
        "end": None,
    }


def without_evidence(result: StepResult) -> StepResult:
    return {**result, "first": None, "before": None, "after": None, "plan": None, "applied": None}


def check_move(state: HostState, event: Event) -> HostState:
    """The state that follows. Raises ValueError where none does."""
    if (state, event) not in TRANSITIONS:
        raise ValueError(f"a host that is {state} cannot become one that is {event}")
    return TRANSITIONS[state, event]


def move(outcome: HostOutcome, event: Event, reason: str | None = None) -> None:
    """Let the state follow from what came out of a step."""
    outcome["state"] = check_move(outcome["state"], event)
    outcome["reason"] = None if reason is None else _border.clean(reason, _REASON)


def classify(outcome: HostOutcome, usage: Usage, plan: Plan, predicted: ApplyResult | None) -> None:
    """Whether a host needs a turn. predicted: by sysctl_dropin in check mode, None where there is nothing to set.

    A host whose change was applied and not judged is pending although nothing is left to set.
    """
    on_trial, changes = bool(predicted and predicted["on_trial"]), bool(predicted and _changes(predicted))
    reason = "An earlier rollout changed this host and did not judge it." if on_trial and not changes else None
    move(outcome, "to_change" if on_trial or changes else "nothing_to_do", reason)
    outcome["not_curable"] = _border.clean(" ".join(_not_curable(usage, plan)), _REASON) or None


def _changes(predicted: ApplyResult) -> bool:
    """Not by changed, which a task may have overruled: a prediction changes nothing itself."""
    return predicted["file"] in ("created", "changed", "removed", "restored") or any(
        one["status"] in ("changed", "restored") for one in predicted["settings"]
    )


def judged(outcome: HostOutcome, gate: Gate) -> None:
    """After the soak."""
    failed = [f"{check['id']}: {check['message']}" for check in gate["checks"] if check["status"] == "failed"]
    move(outcome, "failed" if failed else "passed", "; ".join(failed) or None)
    outcome["gate"] = gate


def wave_verdict(wave: int, outcomes: Mapping[str, Told | None], alive: Sequence[str]) -> WaveVerdict:
    """Whether a wave may stay, and why not. outcomes: of each host that began it. alive: who is still in the play.

    A host that left the play, whatever its outcome was, is lost: it was unreachable, or a task failed that is not ours.
    """
    still = frozenset(alive)
    lost = [host for host, outcome in outcomes.items() if host not in still or outcome is None]
    failed = [host for host, told in outcomes.items() if told and told["state"] == "failed" and host not in lost]
    why = [f"{host}: {_quoted(outcomes[host])}" for host in failed[:_NAMES_SHOWN]]
    if len(failed) > _NAMES_SHOWN:
        why.append(f"and {len(failed) - _NAMES_SHOWN} more")
    if lost:
        more = f" and {len(lost) - _NAMES_SHOWN} more" if len(lost) > _NAMES_SHOWN else ""
        why.append(f"{', '.join(lost[:_NAMES_SHOWN])}{more}: {_LEFT}")
    reason = "; ".join(why) or None
    return {"wave": wave, "passed": not why, "hosts_failed": failed, "hosts_lost": lost, "reason": reason}


def end(result: StepResult, verdict: WaveVerdict | None) -> str | None:
    """Why the rollout ends with the wave of this host, None where it goes on."""
    if verdict and result["step"] == "revert":
        return f"The rollout ends with wave {verdict['wave']}, which was rolled back. {verdict['reason']}"
    if verdict and result["step"] == "confirm" and result["state"] == "failed":
        return f"The rollout ends with wave {verdict['wave']}: {result['reason']}"
    return None


def _quoted(told: Told | None) -> str:
    return cut_middle(_border.clean((told and told["reason"]) or "no reason given", _REASON), _QUOTED)


def _not_curable(usage: Usage, plan: Plan) -> Iterator[str]:
    """Why the planned sysctls will not cure the host, each reason with what would."""
    for finding in usage["findings"]:
        if finding["id"] == "bind-before-connect":
            yield f"{finding['summary']} {finding['remedy']}"
    rate = plan["sustainable_rate"]
    usable = max(0, rate["usable_after"] - (usage["port_range"]["held"] or 0))
    # From the second half on connect() stays slow, so such a destination is not cured.
    share = FIRST_HALF if usage["kernel"]["two_pass_port_search"]["supported"] else 1
    for pool in (one for one in usage["pools"] if one["kind"] == "connect"):
        reason = _too_much(pool, usable, share, min(pool["hold_seconds"], rate["hold_seconds_after"]))
        if reason:
            yield reason
            return  # the most loaded comes first


def _too_much(pool: Pool, usable: int, share: float, hold_seconds: float) -> str | None:
    """What a destination needs beyond that share of the ports that it will have, if it does."""
    ports = f"of the {usable} ports that there will be towards {format_destination(pool)}"
    if pool["live"] >= usable * share:
        waiting = pool["states"].get("FIN_WAIT2", 0)
        if waiting * 2 >= pool["live"]:
            return f"{waiting} {ports} wait in FIN_WAIT_2 for the peer to close. Fix the peer, it keeps its end open."
        return f"{pool['live']} {ports} carry open connections. Use fewer of them, or more destination addresses."
    per_second = pool["rate"]["last_10s"] if hold_seconds >= 10 else pool["rate"]["last_1s"]
    needed = pool["live"] + per_second * hold_seconds
    if needed < usable:
        return None
    return (
        f"At {per_second:g} new connections per second {needed:.0f} {ports} would be needed. "
        "Let the client keep its connections (HTTP keep-alive, a pool), or use more destination addresses."
    )

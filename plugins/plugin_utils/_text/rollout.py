# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout went, or would go, in words: one sentence for everybody, and who was in which wave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...module_utils._common.text import format_some
from .._model import State, WaveGroup
from .wording import format_count, format_names, format_word

# A wave with such a host ends the rollout.
_ENDING: tuple[State, ...] = ("failed", "rolled_back", "unreachable")
# In the order of the sentence: of one host, and of several.
_VERBS: Mapping[State, tuple[str, str]] = {
    "would_change": ("would change", "would change"),
    "changed": ("is changed", "are changed"),
    "rolled_back": ("was rolled back", "were rolled back"),
    "failed": ("failed", "failed"),
    "unreachable": ("could not be reached", "could not be reached"),
    "pending": ("had no turn", "had no turn"),
    "unchanged": ("needs no change", "need no change"),
    "observed": ("was observed", "were observed"),
}


def stopped_at(waves: Sequence[WaveGroup]) -> WaveGroup | None:
    """The wave that ended the rollout, None where none did."""
    return next((one for one in waves if one["wave"] is not None and any(map(one["states"].get, _ENDING))), None)


def told_of_rollout(waves: Sequence[WaveGroup]) -> str:
    """The sentence, without its full stop; empty where there was no rollout."""
    states: Counter[State] = Counter()
    for one in waves:
        states.update(one["states"])
    return f"{_title(waves, states)}: {told_of_states(states, waves)}" if states else ""


def told_of_states(states: Mapping[State, int], waves: Sequence[WaveGroup] = ()) -> str:
    """How many hosts came to what."""
    found = [state for state in _VERBS if states.get(state)]
    verbs, total = [_verb(state, states[state], waves) for state in found], sum(states[state] for state in found)
    if len(found) == 1:
        return f"{'the host' if total == 1 else f'all {format_count(total)} hosts'} {verbs[0]}"
    counts = [f"{format_count(states[state])} {verb}" for state, verb in zip(found, verbs, strict=True)]
    return f"of {format_count(total)} hosts {', '.join(counts)}"


def told_of_wave(group: WaveGroup) -> str:
    """Its hosts, by what became of them."""
    counts, names = group["states"], group["names"]
    told = (f"{format_count(counts[one])} {format_word(one)}: {format_names(names[one])}" for one in counts)
    return "; ".join(told)


def name_of_wave(group: WaveGroup) -> str:
    return "no wave" if group["wave"] is None else f"wave {group['wave']}"


def _title(waves: Sequence[WaveGroup], states: Mapping[State, int]) -> str:
    stopped = stopped_at(waves)
    if states.get("would_change"):
        return "Rollout in check mode"
    if stopped:
        return f"Rollout stopped at {name_of_wave(stopped)}"
    if states.get("changed"):
        return "Rollout not finished" if states.get("pending") else "Rollout finished"
    return "Rollout"


def _verb(state: State, number: int, waves: Sequence[WaveGroup]) -> str:
    numbered = [one for one in waves if one["wave"] is not None]
    if state == "would_change" and numbered:
        return f"would change in {format_some(len(numbered), 'wave')}"
    if state == "pending" and waves and not numbered:  # they were only observed
        return "needs a change" if number == 1 else "need a change"
    return _VERBS[state][number != 1]

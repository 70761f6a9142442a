# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of hosts and waves in a rollout."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _border
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import HostState, StepResult
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.outcome import (
    TRANSITIONS,
    Event,
    Told,
    begin,
    check_move,
    classify,
    end,
    judged,
    move,
    wave_verdict,
)

Result = dict[str, Any]

STATES, EVENTS = get_args(HostState), get_args(Event)
BIND = {"id": "bind-before-connect", "summary": "Clients bind() before they connect().", "remedy": "No sysctl helps."}


def test_the_table_of_transitions() -> None:
    """What may be relied on, whatever row is added."""
    assert {state for state, _event in TRANSITIONS} | set(TRANSITIONS.values()) == set(STATES)
    assert {event for _state, event in TRANSITIONS} == set(EVENTS)
    for state in STATES:
        assert check_move(state, "failed") == "failed"
        assert check_move(state, "rolled_back") == "rolled_back"
    assert {pair for pair, state in TRANSITIONS.items() if state == "changed"} == {
        ("pending", "passed"), ("changed", "confirmed")
    }  # fmt: skip
    assert {event for state, event in TRANSITIONS if state == "failed"} == {"failed", "rolled_back"}


def test_every_state_can_be_reached_and_no_other_move_is_made() -> None:
    reached, before = {"unchanged"}, set()
    while reached != before:
        before = set(reached)
        reached |= {to for (state, _event), to in TRANSITIONS.items() if state in before}
    assert reached == set(STATES)
    for state in STATES:
        for event in EVENTS:
            if (state, event) not in TRANSITIONS:
                with pytest.raises(ValueError, match=f"a host that is {state} "):
                    check_move(state, event)


def test_a_move_that_cannot_be_leaves_the_outcome() -> None:
    result = begin("apply", check_mode=False)
    with pytest.raises(ValueError, match="unchanged"):
        move(result, "passed", "Why not.")
    assert result == begin("apply", check_mode=False)


def test_a_reason_is_never_too_long_for_the_next_step() -> None:
    result = begin("judge", check_mode=False)
    move(result, "failed", "no \x1b " * 100_000)
    assert _border.parse(StepResult, result) == result


def destination(**different: Any) -> Result:
    return {
        "kind": "connect",
        "address": "192.0.2.10",
        "port": 8080,
        "live": 0,
        "states": {},
        "live_by": None,
        "hold_seconds": 60.0,
        "time_wait_seconds": 60.0,
        "longest_left_seconds": 59.0,
        "rate": {"last_1s": 400.0, "last_10s": 460.0},
        **different,
    }


TWO_PASS = {"two_pass_port_search": {"supported": True}}
ONE_PASS = {"two_pass_port_search": {"supported": False}}


def classified(*destinations: Result, predicted: Any = None, after: float = 1.0, **usage: Any) -> Any:
    usage = {"findings": [], "pools": list(destinations), "port_range": {"held": 0}, "kernel": TWO_PASS, **usage}
    plan: Any = {"sustainable_rate": {"usable_after": 50000, "hold_seconds_after": after}}
    result: Any = begin("observe", check_mode=False)
    prediction: Any = predicted or PREDICTED
    classify(result, usage, plan, prediction)
    return result


PREDICTED = {"file": "created", "settings": [], "on_trial": True}


@pytest.mark.parametrize(
    ("predicted", "state", "why"),
    [
        ({"file": "created", "settings": [], "on_trial": True}, "pending", False),
        ({"file": "unchanged", "settings": [{"status": "changed"}], "on_trial": True}, "pending", False),
        ({"file": "unchanged", "settings": [{"status": "unchanged"}], "on_trial": True}, "pending", True),
        ({"file": "unchanged", "settings": [{"status": "unchanged"}], "on_trial": False}, "unchanged", False),
    ],
)
def test_who_needs_a_turn(predicted: Result, state: str, why: bool) -> None:
    outcome = classified(predicted=predicted)
    assert (outcome["state"], outcome["reason"] is not None) == (state, why)


def test_a_host_on_which_there_is_nothing_to_set() -> None:
    result: Any = begin("observe", check_mode=False)
    usage: Any = {"findings": [], "pools": [], "port_range": {"held": None}, "kernel": TWO_PASS}
    plan: Any = {"sustainable_rate": {"usable_after": 50000, "hold_seconds_after": 1.0}}
    classify(result, usage, plan, None)
    assert (result["state"], result["not_curable"]) == ("unchanged", None)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (destination(), None),
        (destination(live=24999), None),
        (destination(live=25000), "25000 of the 50000 ports that there will be towards 192.0.2.10:8080 carry open"),
        (destination(live=25000, states={"FIN_WAIT2": 20000}), "20000 of the 50000 .* FIN_WAIT_2 .* Fix the peer"),
        (destination(rate={"last_1s": 49999.0, "last_10s": 0.0}), None),
        (destination(rate={"last_1s": 50000.0, "last_10s": 0.0}), "At 50000 new connections per second 50000 of the"),
        (destination(live=10000, rate={"last_1s": 40000.0, "last_10s": 0.0}), "50000 of the 50000 ports"),
    ],
)
def test_what_sysctls_cannot_cure(one: Result, words: str | None) -> None:
    beyond = classified(one)["not_curable"]
    if words is None:
        assert beyond is None
    else:
        with pytest.raises(ValueError, match=words):
            raise ValueError(beyond)


def test_a_search_in_one_pass_is_not_slow_from_half_on() -> None:
    assert classified(destination(live=49000), kernel=ONE_PASS)["not_curable"] is None
    assert "50000 of the 50000" in classified(destination(live=50000), kernel=ONE_PASS)["not_curable"]


def test_held_ports_do_not_count_and_a_hold_time_that_stays_does() -> None:
    rate = {"last_1s": 0.0, "last_10s": 800.0}
    assert classified(destination(rate=rate), after=60.0)["not_curable"] is None
    held = classified(destination(rate=rate), after=60.0, port_range={"held": 2000})
    assert held["not_curable"].startswith("At 800 new connections per second 48000 of the 48000 ports")


def test_reuse_that_is_in_force_for_a_destination_stays_so() -> None:
    loopback = destination(hold_seconds=1.0, rate={"last_1s": 900.0, "last_10s": 900.0})
    assert classified(loopback, after=60.0)["not_curable"] is None


def test_clients_that_bind_first_are_not_curable_whatever_the_load() -> None:
    assert classified(findings=[BIND])["not_curable"] == f"{BIND['summary']} {BIND['remedy']}"


def test_what_the_gate_says_decides() -> None:
    failed = {"id": "no-reboot", "status": "failed", "message": "Rebooted.", "evidence": {}}
    passed = {**failed, "status": "unknown"}
    for checks, state, reason in (([passed], "changed", None), ([passed, failed], "failed", "no-reboot: Rebooted.")):
        result = classified()
        gate: Any = {"passed": reason is None, "checks": checks}
        judged(result, gate)
        assert (result["state"], result["reason"], result["gate"]) == (state, reason, gate)


def outcomes(**states: Any) -> dict[str, Told | None]:
    return {host: {"state": state, "reason": f"{host} did."} if state else None for host, state in states.items()}


def test_a_wave_stays_if_no_host_failed_or_was_lost() -> None:
    assert wave_verdict(2, outcomes(a="changed", b="pending"), ["a", "b"]) == {
        "wave": 2, "passed": True, "hosts_failed": [], "hosts_lost": [], "reason": None
    }  # fmt: skip
    verdict = wave_verdict(2, outcomes(a="changed", b="failed", c="pending"), ["a", "b"])
    assert (verdict["passed"], verdict["hosts_failed"], verdict["hosts_lost"]) == (False, ["b"], ["c"])
    assert str(verdict["reason"]).startswith("b: b did.; c: left the run since the change began")


def test_a_host_that_failed_and_then_was_lost_is_lost() -> None:
    verdict = wave_verdict(1, outcomes(a="changed", b="failed"), ["a"])
    assert (verdict["hosts_failed"], verdict["hosts_lost"]) == ([], ["b"])


def test_a_host_whose_outcome_is_not_understood_is_lost() -> None:
    assert wave_verdict(1, outcomes(a=None), ["a"])["hosts_lost"] == ["a"]


def test_of_many_the_first_are_named() -> None:
    hosts = [f"h{number}" for number in range(500)]
    verdict = wave_verdict(1, outcomes(**dict.fromkeys(hosts, "failed")), hosts)
    assert verdict["hosts_failed"] == hosts
    assert str(verdict["reason"]).endswith("h4: h4 did.; and 495 more")
    lost = wave_verdict(1, outcomes(**dict.fromkeys(hosts, None)), [])
    assert str(lost["reason"]).startswith("h0, h1, h2, h3, h4 and 495 more: left the run")


def test_when_the_rollout_ends() -> None:
    passed, failed = wave_verdict(1, outcomes(a="changed"), ["a"]), wave_verdict(1, outcomes(a="failed"), ["a"])
    confirmed, reverted = begin("confirm", check_mode=False), begin("revert", check_mode=False)
    assert [end(confirmed, passed), end(reverted, None), end(begin("judge", check_mode=False), failed)] == [None] * 3
    assert end(reverted, failed) == "The rollout ends with wave 1, which was rolled back. a: a did."
    move(confirmed, "failed", "it could not be confirmed.")
    assert end(confirmed, passed) == "The rollout ends with wave 1: it could not be confirmed."


def test_a_refusal_that_others_quote_is_whole_and_a_longer_one_is_cut_between_words() -> None:
    refusal = f"not changed: {'net.ipv4.tcp_tw_reuse would not last, ' * 12}so accept it with on_conflict: warn"
    told: Told = {"state": "failed", "reason": refusal}
    assert wave_verdict(1, {"web1": told}, ["web1"])["reason"] == f"web1: {refusal}"
    told = {"state": "failed", "reason": " ".join(["halfway"] * 400)}
    assert set((wave_verdict(1, {"web1": told}, ["web1"])["reason"] or "").split()) == {"web1:", "halfway", "..."}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of hosts and waves in a rollout, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.netops.ephemeral_ports.plugins.filter.rollout_outcome import rollout_outcome
from ansible_collections.netops.ephemeral_ports.plugins.filter.rollout_verdict import rollout_verdict
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.gate import Limits
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.outcome import judged

Result = dict[str, Any]

BIND = {"id": "bind-before-connect", "summary": "Clients bind() before they connect().", "remedy": "No sysctl helps."}


def destination(**different: Any) -> Result:
    return {
        "address": "192.0.2.10",
        "port": 8080,
        "live": 0,
        "fin_wait2": 0,
        "hold_seconds": 60.0,
        "rate": {"last_1s": 400.0, "last_10s": 460.0},
        **different,
    }


def foreseen(*destinations: Result, predicted: Any = None, after: float = 1.0, **usage: Any) -> Result:
    look = {"findings": [], "pools": list(destinations), "port_range": {"held": 0}, **usage}
    plan = {"sustainable_rate": {"usable_after": 50000, "hold_seconds_after": after}}
    return rollout_outcome(look, plan, predicted or {"file": "created", "on_trial": True})


@pytest.mark.parametrize(
    ("predicted", "state", "why"),
    [
        ({"file": "created", "on_trial": True}, "pending", False),
        ({"file": "unchanged", "settings": [{"status": "changed"}], "on_trial": True}, "pending", False),
        ({"file": "unchanged", "settings": [{"status": "unchanged"}], "on_trial": True}, "pending", True),
        ({"file": "unchanged", "settings": [{"status": "unchanged"}], "on_trial": False}, "unchanged", False),
        ({"changed": False, "skipped": True}, "unchanged", False),
    ],
)
def test_who_needs_a_turn(predicted: Result, state: str, why: bool) -> None:
    outcome = foreseen(predicted=predicted)
    assert outcome.keys() == {"kind", "state", "reason", "wave", "not_curable", "gate"}
    assert (outcome["state"], outcome["reason"] is not None) == (state, why)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (destination(), None),
        (destination(live=24999), None),
        (destination(live=25000), "25000 of the 50000 ports that there will be towards 192.0.2.10:8080 carry open"),
        (destination(live=25000, fin_wait2=20000), "20000 of the 50000 ports .* FIN_WAIT_2 .* Mend the peer"),
        (destination(rate={"last_1s": 49999.0, "last_10s": 0.0}), None),
        (destination(rate={"last_1s": 50000.0, "last_10s": 0.0}), "At 50000 new connections per second 50000 of the"),
        (destination(live=10000, rate={"last_1s": 40000.0, "last_10s": 0.0}), "50000 of the 50000 ports"),
    ],
)
def test_what_sysctls_cannot_cure(one: Result, words: str | None) -> None:
    beyond = foreseen(one)["not_curable"]
    if words is None:
        assert beyond is None
    else:
        with pytest.raises(ValueError, match=words):
            raise ValueError(beyond)


def test_held_ports_do_not_count_and_a_hold_time_that_stays_does() -> None:
    rate = {"last_1s": 0.0, "last_10s": 800.0}
    assert foreseen(destination(rate=rate), after=60.0)["not_curable"] is None
    held = foreseen(destination(rate=rate), after=60.0, port_range={"held": 2000})
    assert held["not_curable"].startswith("At 800 new connections per second 48000 of the 48000 ports")


def test_reuse_that_is_in_force_for_a_destination_stays_so() -> None:
    loopback = destination(hold_seconds=1.0, rate={"last_1s": 900.0, "last_10s": 900.0})
    assert foreseen(loopback, after=60.0)["not_curable"] is None


def test_clients_that_bind_first_are_not_curable_whatever_the_load() -> None:
    assert foreseen(findings=[BIND])["not_curable"] == f"{BIND['summary']} {BIND['remedy']}"


def test_bad_input_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected results of port_usage_info"):
        rollout_outcome({}, {}, {})
    with pytest.raises(AnsibleFilterError, match="growth"):
        rollout_outcome({}, {}, {}, {"growth": 0})
    with pytest.raises(AnsibleFilterError, match="hostvars and two lists of hosts"):
        rollout_verdict({}, ["a"], [])


def test_a_host_that_is_lost_during_the_soak_has_failed() -> None:
    outcome = judged(foreseen(), 3, {}, {}, {}, {"unreachable": True}, Limits())
    assert (outcome["state"], outcome["wave"], outcome["gate"]) == ("failed", 3, None)
    assert "its state is unknown: run the rollback" in outcome["reason"]


def hostvars(**states: str | None) -> Result:
    return {
        host: {"timewait_rollout_outcome": {"state": state, "reason": f"{host} did."}} if state else {}
        for host, state in states.items()
    }


def test_a_wave_stays_if_no_host_failed_or_was_lost() -> None:
    assert rollout_verdict(hostvars(a="changed", b="pending"), ["a", "b"], ["a", "b"]) == {
        "passed": True, "failed": [], "lost": [], "reason": None
    }  # fmt: skip
    verdict = rollout_verdict(hostvars(a="changed", b="failed", c=None), ["a", "b", "c"], ["a", "b"])
    assert (verdict["passed"], verdict["failed"], verdict["lost"]) == (False, ["b"], ["c"])
    assert verdict["reason"].startswith("b: b did.; c: unreachable since the change began")


def test_a_host_that_failed_and_then_was_lost_is_lost() -> None:
    verdict = rollout_verdict(hostvars(a="changed", b="failed"), ["a", "b"], ["a"])
    assert (verdict["failed"], verdict["lost"]) == ([], ["b"])


def test_of_many_the_first_are_named() -> None:
    hosts = [f"h{number}" for number in range(500)]
    verdict = rollout_verdict(hostvars(**dict.fromkeys(hosts, "failed")), hosts, hosts)
    assert verdict["failed"] == hosts
    assert verdict["reason"].endswith("h4: h4 did.; and 495 more")
    lost = rollout_verdict(hostvars(**dict.fromkeys(hosts, None)), hosts, [])
    assert lost["reason"].startswith("h0, h1, h2, h3, h4 and 495 more: unreachable")

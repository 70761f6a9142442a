# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentence on top of the page, and the one below it."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_fleet import META, ROLLOUT

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.host import STATES
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import headline, lead

from .hearing import EXHAUSTED, IDLE, LOOK, fleet_of, outcome, report_of


def summary_of(levels: dict[str, int], lost: dict[str, int] | None = None, **different: Any) -> Any:
    """A summary with these numbers of hosts, most of which say nothing more."""
    counts = {level: levels.get(level, 0) for level in ("exhausted", "critical", "warning", "ok", "unknown")}
    groups = [{"state": state, "hosts": hosts, "reason": "", "names": []} for state, hosts in (lost or {}).items()]
    states = dict.fromkeys(STATES, 0) | {"observed": sum(counts.values())}
    summary = {"levels": counts, "states": states, "hosts": sum(counts.values()), "lost": groups}
    return {**summary, "gateways": [], "waves": [], **different}


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ({"exhausted": 1, "ok": 4}, "1 of 5 hosts cannot open new connections to a destination"),
        ({"exhausted": 2, "ok": 1998}, "2 of 2,000 hosts cannot open new connections to a destination"),
        ({"critical": 1}, "1 of 1 host is close to having no port left for new connections"),
        ({"warning": 3, "ok": 1}, "3 of 4 hosts are getting short of ports for new connections"),
        ({"unknown": 1, "ok": 1}, "The level of 1 of 2 hosts is unknown; no other is short of ports"),
        ({"unknown": 3}, "Nothing was observed"),
        ({"ok": 2}, "All 2 hosts have enough ports for their connections"),
        ({"ok": 1}, "The host has enough ports for its connections"),
        ({}, "No host took part"),
    ],
)
def test_headline(levels: dict[str, int], sentence: str) -> None:
    assert headline(summary_of(levels)) == sentence


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({"rolled_back": 3}, "All 3 hosts were rolled back"),
        ({"rolled_back": 1}, "The host was rolled back"),
        ({"rolled_back": 2, "unchanged": 1}, "Of 3 hosts 2 were rolled back, 1 needs no change"),
        ({"would_change": 2}, "All 2 hosts would change"),
        ({"unreachable": 2}, "All 2 hosts could not be reached"),
    ],
)
def test_headline_where_no_host_was_observed(states: dict[str, int], sentence: str) -> None:
    counts = dict.fromkeys(STATES, 0) | states
    assert headline(summary_of({"unknown": sum(states.values())}, states=counts)) == sentence


def test_headline_says_that_hosts_could_not_be_reached() -> None:
    some = summary_of({"ok": 3, "unknown": 1}, {"unreachable": 1})
    assert headline(some) == "1 of 4 hosts could not be reached; no other is short of ports"


@pytest.mark.parametrize(
    ("level", "said"), [("exhausted", "programs get an error (errno 99)"), ("ok", ""), ("unknown", "")]
)
def test_what_the_headline_means(level: str, said: str) -> None:
    text = lead(summary_of({level: 1}))
    assert said in text
    assert bool(text) == bool(said)


def of_rollout(*outcomes: dict[str, Any], check: bool = False, usage: dict[str, Any] = IDLE) -> Any:
    events = [(f"web{number}", LOOK, usage) for number in range(1, len(outcomes) + 1)]
    done = [(f"web{number}", ROLLOUT, one, check) for number, one in enumerate(outcomes, 1)]
    return report_of(*events, *done)["summary"]


STOPPED = (
    outcome("changed", wave=1),
    outcome("rolled_back", wave=2, reason="listeners-kept: Listener gone: TCP 9000."),
    *[outcome("rolled_back", wave=2, reason="web2: listeners-kept: Listener gone: TCP 9000.")] * 2,
    outcome("pending"),
)


def test_headline_of_a_rollout_that_was_stopped_says_where_and_the_lead_why() -> None:
    summary = of_rollout(*STOPPED)
    assert headline(summary) == (
        "Rollout stopped at wave 2: of 5 hosts 1 is changed, 3 were rolled back, 1 had no turn"
    )
    assert lead(summary) == (
        "web2: listeners-kept: Listener gone: TCP 9000. "
        "Run the rollout again once that is mended: hosts that are changed need nothing more."
    )
    exhausted = of_rollout(*STOPPED, usage=EXHAUSTED)
    assert headline(exhausted) == headline(summary)
    assert lead(exhausted) == f"{lead(summary)} 5 of 5 hosts cannot open new connections to a destination."


def test_the_lead_of_a_rollout_does_not_say_again_who_was_lost() -> None:
    fleet = fleet_of(("web1", LOOK, IDLE), ("web1", ROLLOUT, outcome("changed", wave=1)))
    fleet.on_failure("web2", [], "No route to host", unreachable=True)
    summary = make_report(fleet.hosts, META)["summary"]
    assert headline(summary) == "Rollout finished: of 2 hosts 1 is changed, 1 could not be reached"
    assert lead(summary) == "No host that was observed is short of ports."


@pytest.mark.parametrize(
    ("outcomes", "check", "sentence"),
    [
        ([outcome("changed", wave=1), outcome("changed", wave=2)], False, "Rollout finished: all 2 hosts are changed"),
        ([outcome("unchanged")] * 2, False, "Rollout: all 2 hosts need no change"),
        ([outcome("unchanged")], True, "Rollout: the host needs no change"),
        ([outcome("pending")] * 2, False, "Rollout: all 2 hosts need a change"),
        (
            [outcome("changed", wave=1), outcome("pending")],
            False,
            "Rollout not finished: of 2 hosts 1 is changed, 1 had no turn",
        ),
        ([outcome("pending", wave=1)] * 2, True, "Rollout in check mode: all 2 hosts would change in 1 wave"),
        ([outcome("changed", wave=1), outcome("failed")], False, "Rollout finished: of 2 hosts 1 is changed, 1 failed"),
    ],
)
def test_headline_of_a_rollout(outcomes: list[dict[str, Any]], check: bool, sentence: str) -> None:
    summary = of_rollout(*outcomes, check=check)
    assert headline(summary) == sentence
    assert "enough ports for" in lead(summary)
    exhausted = of_rollout(*outcomes, check=check, usage=EXHAUSTED)
    assert "cannot open new connections" in headline(exhausted)


@pytest.mark.parametrize(
    ("failed", "rolled_back", "sentence"),
    [
        (13, 0, "13 of 14 hosts failed"),
        (0, 1, "1 of 14 hosts was rolled back"),
        (0, 2, "2 of 14 hosts were rolled back"),
        (1, 3, "1 of 14 hosts failed, 3 were rolled back"),
    ],
)
def test_headline_says_what_went_wrong(failed: int, rolled_back: int, sentence: str) -> None:
    lost = {"failed": failed, "rolled_back": rolled_back, "unreachable": 1}
    assert headline(summary_of({"warning": 1, "ok": 13}, lost)) == sentence

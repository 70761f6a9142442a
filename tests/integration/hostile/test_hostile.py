# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are hostile in many ways, through diagnose, remediate, rollback, stress, rollout and the report.

Each run has all of them side by side, between two honest hosts. ways.py says what each does.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ..cores import CORES, own_core
from . import controller
from .controller import FIRST, LAST, PLAYBOOKS, SECRET, Cast, Outcome, Setting, play_everything, ways

FORMULA, MARK, MARKUP, WAYS, YEAR = ways.FORMULA, ways.MARK, ways.MARKUP, ways.WAYS, ways.YEAR

# Facts are injected and not cached unless it says otherwise.
SETTINGS = [
    *(Setting(core, few=False) for core in CORES),
    *(Setting(core, inject, cache=True) for core in CORES for inject in (True, False)),
]
FEW = [name for name in WAYS if name.startswith("gathers-")]
FEW += ["facts-template", "facts-pause", "facts-policy", "facts-internals", "lies-worse-after"]

# To look at some of them alone: HOSTILE_WAYS=facts-report,depth pytest ...
CHOSEN = os.environ.get("HOSTILE_WAYS", ",".join(WAYS)).split(",")

# What no terminal is to be sent: control characters, and those that change the direction of text or cannot be seen.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
# Of an honest host's report, what is never the same twice.
VOLATILE = {
    "uptime", "counters", "seconds", "rate", "connect_ms", "url", "time_wait", "sockets", "blocked_at_most", "inode",
    "pools", "evidence", "message", "not_observed", "probe",
}  # fmt: skip
OURS = (
    "diagnosis",
    "port_usage_info",
    "port_users_info",
    "sysctl_dropin",
    "namespace_sysctls",
    "curl_stress",
    "remediation",
    "rollout_host",
)


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The honest hosts without the hostile ones. Once, however many processes pytest-xdist has."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "honest-hosts"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "tape.jsonl").exists():
            play_everything(home, Setting(own_core(), few=False), Cast([], []))
    return Outcome(home)


@pytest.fixture(scope="session", params=SETTINGS, ids=str)
def setting(request: pytest.FixtureRequest) -> Setting:
    return request.param


@pytest.fixture(scope="session")
def outcome(setting: Setting, alone: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The one that fails its wave takes no part where others are to be told apart in theirs."""
    ways = FEW if setting.few else [name for name in WAYS if name != "lies-worse-after"]
    tape = (alone.home / "tape.jsonl").read_text().splitlines()
    return play_everything(
        tmp_path_factory.mktemp(str(setting)), setting, Cast([name for name in ways if name in CHOSEN], tape)
    )


def test_no_file_of_the_controller_is_read(outcome: Outcome) -> None:
    """Its text is in nothing that is sent, returned, printed or written."""
    assert SECRET not in outcome.out + outcome.err
    written = [*outcome.home.glob("received/*"), *outcome.home.glob("report/*"), *outcome.home.glob("*.jsonl")]
    assert [path.name for path in written if SECRET in path.read_text()] == []


def test_nothing_is_executed(outcome: Outcome) -> None:
    assert outcome.markers == []


def test_no_variable_of_ours_changes(outcome: Outcome) -> None:
    """But those in which the playbooks keep what they have found, and of these no value is one that a host chose."""
    before, after = outcome.variables(last=False), outcome.variables(last=True)
    assert before.keys() == after.keys()
    for host in before:
        if not host.startswith("gathers-"):
            assert given(after[host]) == given(before[host]), host
            assert after[host]["how"] == before[host]["how"]
            kept = json.dumps({**after[host]["variables"], "msg": None})
            assert not re.search(rf"{MARK}|\b4242\b|{YEAR}|TrustedAsTemplate", kept), host
        groups = {name for name in after[host]["groups"] if not name.startswith("timewait_rollout_")}
        assert groups == set(before[host]["groups"])


def given(said: dict[str, Any]) -> dict[str, Any]:
    """The variables that have a meaning for us, without those in which results are kept."""
    kept = controller.results_of_ours()
    return {name: value for name, value in said["variables"].items() if name not in kept}


def test_what_the_user_has_set_counts(outcome: Outcome) -> None:
    """Whatever facts say: these are the arguments that hosts have received."""
    meant = {
        "path": "/etc/sysctl.d/99-zz-ephemeral-ports.conf",
        "state_dir": "/var/lib/netops.ephemeral_ports",
        "lock_timeout": 30,
        "on_conflict": "fail",
        "serve": "198.18.0.1",
        "total": 20,
    }
    for name in WAYS:
        for call in outcome.received(name):
            arguments = call.get("arguments", {})
            assert {key: arguments[key] for key in meant if key in arguments} == {
                key: value for key, value in meant.items() if key in arguments
            }, name
            assert not re.search(rf"tcp_tw_recycle = 1|{MARK}|4242", json.dumps(arguments)), name


def test_results_carry_no_facts(outcome: Outcome) -> None:
    for one in outcome.results:
        if one["action"].rpartition(".")[2] in OURS:
            facts = [found for found in each(one["result"], "ansible_facts") if found]
            assert all(found.keys() == {"discovered_interpreter_python"} for found in facts), one
            assert all(re.fullmatch(r"/[\w./-]+", *found.values()) for found in facts), one


def each(value: Any, name: str) -> Iterator[Any]:
    """What stands under a key, however deep."""
    if isinstance(value, dict):
        yield from (value[name],) if name in value else ()
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from each(one, name)


def test_the_honest_hosts_are_told_rightly(setting: Setting, outcome: Outcome, alone: Outcome) -> None:
    """As without the hostile ones; but a wave with one in it that fails in it is rolled back, for that reason."""
    told, expected = outcome.report[FIRST], alone.report[FIRST]
    left_out = () if setting.playbooks == PLAYBOOKS else ("stress", "changes")

    def told_of(host: dict[str, Any]) -> Any:
        return steady({name: value for name, value in host.items() if name not in left_out})

    assert told_of(told) == told_of(expected)
    assert told["state"] == "changed"
    if "lies-worse-after" not in outcome.report:
        assert told_of(outcome.report[LAST]) == told_of(alone.report[LAST])
    else:
        last = outcome.report[LAST]
        assert last["state"] == "rolled_back"
        assert "lies-worse-after: failed-connects: 900 connects failed" in last["outcome"]["reason"]


def steady(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: steady(one) for name, one in value.items() if name not in VOLATILE}
        if isinstance(found.get("findings"), list):  # those about a destination depend on when its connections closed
            found["findings"] = [one for one in found["findings"] if not one.get("destination")]
        return found
    return [steady(one) for one in value] if isinstance(value, list) else value


def test_every_host_is_named_with_a_reason_where_it_did_not_answer(outcome: Outcome) -> None:
    assert outcome.report.keys() == outcome.variables(last=False).keys()
    states = {name: (host["state"], host["error"]) for name, host in outcome.report.items()}
    accepted = [name for name, way in WAYS.items() if way.refused and name in states
                and states[name][0] not in ("failed", "unreachable")]  # fmt: skip
    assert accepted == []
    silent = [name for name, (state, why) in states.items() if state in ("failed", "unreachable")
              and not why]  # fmt: skip
    assert silent == []


def test_gathered_facts_that_name_our_variables_are_refused(outcome: Outcome, setting: Setting) -> None:
    """Where they would count. The reason names the first, unless Ansible refuses its value before."""
    if setting.inject:
        told = {name: host for name, host in outcome.report.items() if name.startswith("gathers-")}
        assert [name for name, host in told.items() if host["state"] != "failed"] == []
        unnamed = {name for name, host in told.items() if not re.search(r"\b_*timewait_\w+", host["error"])}
        assert unnamed <= {"gathers-everything"}


def test_the_gate_goes_by_what_the_user_has_set(outcome: Outcome) -> None:
    if "lies-worse-after" in outcome.report:
        checks = outcome.report["lies-worse-after"]["outcome"]["gate"]["checks"]
        judged = {check["id"]: check["status"] for check in checks}
        assert judged["failed-connects"] == "failed"


def test_the_terminal_gets_text(outcome: Outcome) -> None:
    lines = [line for line in (outcome.out + outcome.err).split("\n") if UNPRINTABLE.search(line)]
    assert [ascii(line[:200]) for line in lines[:20]] == []
    long = [line for line in (outcome.out + outcome.err).split("\n") if len(line) > 20_000]
    assert [line[:200] for line in long] == []


def test_the_reports_are_clean(outcome: Outcome) -> None:
    page, table, text = (outcome.home / "report" / f"report.{kind}" for kind in ("html", "csv", "json"))
    assert MARKUP not in page.read_text()
    cells = [cell for row in csv.reader(table.read_text().splitlines()) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "@", FORMULA))] == []
    json.loads(text.read_text(), parse_constant=pytest.fail)
    for path in (page, table, text):
        assert UNPRINTABLE.sub("", path.read_text()) == path.read_text()


def test_what_hosts_say_costs_little(outcome: Outcome, alone: Outcome) -> None:
    """A hostile host makes output and reports some times as large as an honest one does, at most."""
    hosts = len(outcome.report)
    assert len(outcome.out + outcome.err) < 10 * hosts * len(alone.out + alone.err)
    for kind in ("html", "csv", "json"):
        size, honest = ((run.home / "report" / f"report.{kind}").stat().st_size for run in (outcome, alone))
        assert size < 10 * hosts * honest, kind

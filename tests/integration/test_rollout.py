# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook rollout over hosts that are sets of private namespaces: waves, gate, rollback, and picking up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .ansible_run import ansible
from .private_host import DROPIN, FIXED, PLAIN, RESERVED, REUSE, STATE, Host, Run, private_host, use_own_ansible

PLAYBOOK = "netops.ephemeral_ports.rollout"
QUICK = {"timewait_rollout_soak": 1, "timewait_rollout_baseline": 0, "ephemeral_ports_become": False}

LISTEN = "import socket; s = socket.create_server(('198.18.0.1', 9000)); print(flush=True); input()"


class Fleet:
    """Hosts by name, and an inventory of them."""

    def __init__(self, home: Path, hosts: dict[str, Host]) -> None:
        self.hosts = hosts
        self.inventory = home / "inventory.json"
        interpreters = {name: {"ansible_python_interpreter": str(host.python())} for name, host in hosts.items()}
        gone = {"gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}}
        text = {"all": {"hosts": {**interpreters, **gone}, "vars": {"ansible_connection": "local"}}}
        self.inventory.write_text(json.dumps(text))

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def arguments(self, *options: str, playbook: str = PLAYBOOK, **variables: object) -> list[str]:
        given = json.dumps({**QUICK, **variables})
        plays = ["playbook", playbook, "-i", str(self.inventory), "-e", given]
        return [*plays, *(options if any("--limit" in one for one in options) else ["--limit=all:!gone", *options])]

    def roll_out(self, *options: str, playbook: str = PLAYBOOK, **variables: object) -> Recap:
        return Recap(ansible(*self.arguments(*options, playbook=playbook, **variables), timeout=900))

    def values(self) -> dict[str, dict[str, str]]:
        return {name: host.sysctls() for name, host in self.hosts.items()}


class Recap(Run):
    """How often each host has what in the recap."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(done)
        print(self.text)  # pytest shows it where a test fails
        self.code = done.returncode
        lines = re.findall(r"^(\w+) +: (.+)$", self.text.partition("PLAY RECAP")[2], re.MULTILINE)
        self.counts = {host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", line)} for host, line in lines}

    def hosts_with(self, what: str) -> list[str]:
        return [host for host, counts in self.counts.items() if counts[what]]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    use_own_ansible(tmp_path, monkeypatch)
    with contextlib.ExitStack() as stack:
        hosts = {}
        for name in ("one", "two", "three"):
            (tmp_path / name).mkdir()
            hosts[name] = stack.enter_context(private_host(tmp_path / name))
        yield Fleet(tmp_path, hosts)


def state_of(host: Host) -> object:
    """Everything that a rollout could change."""
    return host.sysctls(), host.text(), {name: host.text(STATE / name) for name in host.names(STATE)}


def journals(host: Host) -> list[str]:
    return [name for name in host.names(STATE) if name.endswith(".json")]


def journal(host: Host) -> Any:
    (name,) = journals(host)
    return json.loads(host.text(STATE / name) or "")


def test_all_waves_then_nothing_left_to_do(fleet: Fleet) -> None:
    done = fleet.roll_out().passed()
    assert fleet.values() == dict.fromkeys(fleet.hosts, FIXED)
    assert [journal(host)["trial"] for host in fleet.hosts.values()] == [None] * 3
    assert done.said("CHANGED in wave 1")

    again = fleet.roll_out().passed()
    assert again.changed == 0
    assert "WARNING" not in again.text
    assert again.said("UNCHANGED: there is nothing to change on this host.")


def test_check_mode_tells_the_waves_and_changes_nothing(fleet: Fleet) -> None:
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    run = fleet.roll_out("--check", "--diff", ephemeral_ports_waves=[1, "100%"]).passed()
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before
    assert run.text.count("WOULD CHANGE in wave 1.") == 1
    assert run.text.count("WOULD CHANGE in wave 2.") == 2
    lines = run.text.splitlines()
    assert "-net.ipv4.tcp_tw_reuse = 2" in lines
    assert "Rollout in check mode: all 3 hosts would change in 2 waves." in lines
    assert {"  wave 1: 1 would change: one", "  wave 2: 2 would change: three, two"} <= set(lines)
    assert run.text.count("WOULD CHANGE in its wave.") == 3


def test_observe_is_a_tag_that_only_observes(fleet: Fleet) -> None:
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    run = fleet.roll_out("--tags", "observe").passed()
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before
    assert run.text.count("PENDING: it will be changed in its wave.") == 3


def test_a_service_that_dies_in_the_second_wave_rolls_that_wave_back(fleet: Fleet) -> None:
    """With a drop-in of an earlier run, which has to be there again afterwards, to the letter."""
    fewer = {"timewait_remediate_reserve": ["10240-65235"], "timewait_remediate_accept_risk": ["fewer_ports"]}
    first = fleet.roll_out("--limit=two", timewait_remediate_tcp_tw_reuse="leave", **fewer).passed()
    assert first.said("which you have accepted (fewer_ports).")
    earlier = {name: state_of(host) for name, host in fleet.hosts.items()}
    assert fleet["two"].sysctls() == {**FIXED, REUSE: "2", RESERVED: "10240-65235"}

    command = [*fleet["two"].enter, sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        service.stdout.readline()
        variables = {"timewait_rollout_soak": 3, "ephemeral_ports_waves": [1], "timewait_remediate_trial": False}
        with roll_out_until(fleet, "Pausing", times=2, **variables) as playing:
            service.communicate("\n")
            run = Recap(subprocess.CompletedProcess([], playing.wait(), "".join(lines_of(playing)), ""))
    assert run.code == 2
    assert run.said("failed listeners-kept: Listener gone: TCP 9000.")
    assert run.said("ROLLED BACK in wave 2: this host is as it was before its wave.")
    assert run.said("The rollout ends with wave 2 which was rolled back. two: listeners-kept: Listener gone: TCP 9000.")
    assert run.said("Rollout stopped at wave 2: of 3 hosts 1 is changed 1 was rolled back 1 had no turn.")
    assert fleet["one"].sysctls() == FIXED
    assert {name: state_of(fleet[name]) for name in ("two", "three")} == {
        name: earlier[name] for name in ("two", "three")
    }


REFUSED = """\
{% for one in remediation_plan.dropin %}
{{ one.key }} = {{ one.wanted }}
{% endfor %}
net.ipv4.tcp_fin_timeout = {{ 2147483647 if inventory_hostname == 'two'
                              and hostvars.two.timewait_rollout_outcome is defined else 61 }}
"""


def test_a_change_that_the_kernel_refuses_rolls_the_others_of_its_wave_back(fleet: Fleet) -> None:
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    template = fleet.inventory.with_name("mine.conf.j2")
    template.write_text(REFUSED)
    run = fleet.roll_out(timewait_remediate_template=str(template), ephemeral_ports_waves="100%")
    assert run.code == 2
    assert run.hosts_with("failed") == ["one", "three", "two"]
    assert run.said("FAILED in wave 1.")
    assert run.said("the kernel refused net.ipv4.tcp_fin_timeout = 2147483647")
    assert run.text.count("ROLLED BACK in wave 1") == 2
    assert "Pausing" not in run.text
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before


@pytest.mark.parametrize("moment", ["timewait_rollout_outcome", "__timewait_rollout_verdict"])
def test_a_host_that_is_lost_ends_the_rollout_and_is_picked_up_by_the_next(fleet: Fleet, moment: str) -> None:
    """Lost before its change, and after."""
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    known = json.loads(fleet.inventory.read_text())
    lost = {"ansible_connection": f"{{{{ 'ssh' if {moment} is defined else 'local' }}}}", "ansible_port": 1}
    known["all"]["hosts"]["two"].update(lost, ansible_host="127.0.0.1")
    fleet.inventory.write_text(json.dumps(known))
    run = fleet.roll_out(ephemeral_ports_waves="100%")
    assert run.code in (2, 4, 6), run.text  # 2 from ansible-core 2.16, where 4 is for unreachable hosts alone
    assert "two" in run.hosts_with("unreachable"), run.text
    assert run.said(
        "two: unreachable since the change began so its state is unknown: when it is back rerun the rollout or roll"
    ), run.text
    assert {name: state_of(fleet[name]) for name in ("one", "three")} == {
        name: before[name] for name in ("one", "three")
    }
    assert (fleet["two"].sysctls() == FIXED) is (moment == "__timewait_rollout_verdict")

    del known["all"]["hosts"]["two"]["ansible_connection"]
    fleet.inventory.write_text(json.dumps(known))
    fleet.roll_out(ephemeral_ports_waves="100%").passed()
    assert fleet.values() == dict.fromkeys(fleet.hosts, FIXED)
    assert [journal(host)["trial"] for host in fleet.hosts.values()] == [None] * 3


def test_a_host_that_never_ends_its_answer_is_rolled_back_with_its_wave(fleet: Fleet) -> None:
    """From its change on; what it was asked to do is done when it hangs."""
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    python = fleet["two"].home / "python"
    hanging = python.with_name("hanging")
    hanging.write_text(f'#!/bin/sh\n\'{python}\' "$@"\ncase "$*" in *sysctl_dropin*) exec sleep 120;; esac\n')
    hanging.chmod(0o755)
    known = json.loads(fleet.inventory.read_text())
    turn = "timewait_rollout_outcome is defined and __timewait_rollout_verdict is not defined"
    known["all"]["hosts"]["two"] = {
        "ansible_python_interpreter": f"{{{{ '{hanging}' if {turn} else '{python}' }}}}",
        "timewait_remediate_timeout": f"{{{{ 45 if {turn} else 300 }}}}",
    }
    fleet.inventory.write_text(json.dumps(known))
    run = fleet.roll_out("--limit=one,two", ephemeral_ports_waves=2)
    assert run.code == 2
    assert run.said("two: it did not answer within 45 s")
    assert run.text.count("ROLLED BACK in wave 1") == 2
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before


def test_a_confirmation_that_fails_ends_the_rollout(fleet: Fleet) -> None:
    with roll_out_until(fleet, "Pausing", ephemeral_ports_waves=[2], timewait_rollout_soak=3) as playing:
        (name,) = journals(fleet["one"])
        fleet["one"].write(STATE / name, "not a journal")
        run = Recap(subprocess.CompletedProcess([], playing.wait(), "".join(lines_of(playing)), ""))
    assert run.code == 2
    assert "one" in run.hosts_with("failed")
    assert run.said(str(STATE / name)), run.text
    assert fleet.values() == {"one": FIXED, "two": FIXED, "three": PLAIN}


def test_a_rollout_that_was_killed_in_the_soak_is_picked_up(fleet: Fleet) -> None:
    with roll_out_until(fleet, "Pausing", ephemeral_ports_waves=[1], timewait_rollout_soak=60) as playing:
        kill(playing)
    assert fleet.values() == {"one": FIXED, "two": PLAIN, "three": PLAIN}
    assert journal(fleet["one"])["trial"] is not None

    run = fleet.roll_out("--limit=one,two").passed()
    assert run.said("An earlier rollout changed this host and did not judge it.")
    assert run.said("CHANGED in wave 1: of 10 checks 6 passed 4 unknown.")
    assert fleet.values() == {"one": FIXED, "two": FIXED, "three": PLAIN}
    assert journal(fleet["one"])["trial"] is None


def test_what_is_on_trial_can_be_rolled_back_by_hand(fleet: Fleet) -> None:
    before = state_of(fleet["one"])
    with roll_out_until(fleet, "Pausing", ephemeral_ports_waves=[1], timewait_rollout_soak=60) as playing:
        kill(playing)
    run = fleet["one"].play("timewait_rollout", entry="rollback").passed()
    assert run.said("ROLLED BACK: this host is as it was before its wave."), run.text
    assert state_of(fleet["one"]) == before


def test_a_host_that_cannot_be_changed_leaves_the_others_their_turn(fleet: Fleet) -> None:
    late = DROPIN.with_name("99-zzz-later.conf")
    fleet["two"].write(late, "net.ipv4.tcp_tw_reuse = 0\n")
    before = state_of(fleet["two"])
    run = fleet.roll_out("--limit=one,two,gone")
    assert run.code != 0
    assert run.hosts_with("failed") == ["two"]
    assert run.hosts_with("unreachable") == ["gone"]
    assert run.said("not changed because it would not survive a reboot: net.ipv4.tcp_tw_reuse")
    assert state_of(fleet["two"]) == before
    assert fleet["one"].sysctls() == FIXED


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("growth", 0.5),
        ("growth", True),
        ("floor", 1.5),
        ("ignore_listeners", ["80-70"]),
        ("soak", "1m"),
        ("baseline", "a"),
    ],
)
def test_bad_limits_are_refused_before_anything_is_changed(fleet: Fleet, option: str, value: object) -> None:
    before = state_of(fleet["one"])
    run = fleet.roll_out("--limit=one", **{f"timewait_rollout_{option}": value})
    assert run.code == 2
    assert option in run.text.partition("FAILED!")[2]
    assert run.said("Change the hosts that need it") is False
    assert state_of(fleet["one"]) == before


def test_sizes_of_waves_that_ansible_would_take_for_the_whole_fleet_are_refused(fleet: Fleet) -> None:
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    for waves in (0, [], "200%", [1, True]):
        run = fleet.roll_out(ephemeral_ports_waves=waves)
        assert run.code == 2, waves
        assert run.text.count("fatal: ") == 1
        assert run.said("ephemeral_ports_waves: ")
        assert run.said("give numbers of hosts from 1 on") or run.said("there must be at least one wave")
        assert "Predict what would change" not in run.text
        assert "Unexpected" not in run.text
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before


def test_a_soak_that_is_broken_off_rolls_the_wave_back(fleet: Fleet) -> None:
    before = {name: state_of(host) for name, host in fleet.hosts.items()}
    soak = "{{ 'no number' if hostvars.localhost.__timewait_rollout_begun is defined else 1 }}"
    run = fleet.roll_out("--limit=one,two", ephemeral_ports_waves=2, timewait_rollout_soak=soak)
    assert run.code == 2
    assert run.said("one: the soak was broken off: ")
    assert run.text.count("ROLLED BACK in wave 1") == 2
    assert {name: state_of(host) for name, host in fleet.hosts.items()} == before


def test_a_host_whose_facts_set_our_variables_is_left_out(fleet: Fleet) -> None:
    """A fact cache would bring them, which a compromised host has filled."""
    facts = {"timewait_rollout_soak": 31_536_000, "timewait_remediate_template": "/proc/self/environ"}
    tasks = [{"ansible.builtin.set_fact": {**facts, "cacheable": True}}]
    fill = {"hosts": "one", "gather_facts": False, "tasks": tasks}
    playbook = fleet.inventory.with_name("play.yml")
    playbook.write_text(json.dumps([fill, {"ansible.builtin.import_playbook": PLAYBOOK}]))
    before = state_of(fleet["one"])
    run = fleet.roll_out("--limit=one,two", playbook=str(playbook))
    assert run.code == 2
    assert run.hosts_with("failed") == ["one"]
    assert run.said("facts of this host set timewait_remediate_template timewait_rollout_soak")
    assert state_of(fleet["one"]) == before
    assert fleet["two"].sysctls() == FIXED


@contextlib.contextmanager
def roll_out_until(fleet: Fleet, words: str, times: int = 1, **variables: object) -> Iterator[subprocess.Popen[str]]:
    """A rollout in a process group of its own, which has printed these words by now."""
    with subprocess.Popen(
        [sys.executable, "-m", "ansible", *fleet.arguments(**variables)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as playing:  # fmt: skip
        try:
            for line in lines_of(playing):
                times -= line.startswith(words)
                if not times:
                    break
            assert not times, "it has ended before"
            yield playing
        finally:
            kill(playing)


def kill(playing: subprocess.Popen[str]) -> None:
    """As a crash would end it. Workers have sessions of their own since ansible-core 2.19, and may outlive it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        workers = Path(f"/proc/{playing.pid}/task/{playing.pid}/children").read_text().split()
        for process in [playing.pid, *map(int, workers)]:
            os.kill(process, signal.SIGKILL)


def lines_of(playing: subprocess.Popen[str]) -> Iterator[str]:
    assert playing.stdout is not None
    yield from iter(playing.stdout.readline, "")

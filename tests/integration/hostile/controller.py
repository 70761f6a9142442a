# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller with honest and hostile hosts: all playbooks in one run, and what came of it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..cores import own_core, python_with
from ..private_host import ROOT, Host, private_host

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # as within ansible-playbook
ways = importlib.import_module("ways")

COLLECTION = "netops.ephemeral_ports"
SECRET = "the-secret-of-the-controller"
# Seconds. Only a pause that a host has chosen takes longer.
PATIENCE = 1800
FIRST, LAST = "aa-honest", "zz-honest"

# Ordinary users set these in their inventory, where facts outrank them.
SET_BY_THE_USER = {
    "timewait_rollout_soak": 1,
    "timewait_rollout_baseline": 0,
    "timewait_stress_serve": "198.18.0.1",
    "timewait_stress_total": 20,
    "timewait_stress_time_limit": 10,
}
PLAYBOOKS = ("diagnose", "stress", "remediate", "rollback", "rollout")
FEW_PLAYBOOKS = ("diagnose", "rollout")
START = {"name": "start", "hosts": "all", "gather_facts": False, "tasks": []}
FORGIVE = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.meta": "clear_host_errors"}]}


class Setting(NamedTuple):
    """How a controller is set up. few: with only those ways for which it can matter.

    All playbooks only once: what ansible-core does with an answer does not depend on the playbook, and what the others
    do differently themselves does not depend on ansible-core.
    """

    core: str
    inject: bool = True
    cache: bool = False
    few: bool = True

    @property
    def playbooks(self) -> Sequence[str]:
        return FEW_PLAYBOOKS if self.few or self.core != own_core() else PLAYBOOKS

    def __str__(self) -> str:
        inject, cache = "injected" if self.inject else "not-injected", "cached" if self.cache else "not-cached"
        return f"{self.core}-{inject}-{cache}"


class Cast(NamedTuple):
    """The hosts of a run."""

    ways: Sequence[str]
    tape: Sequence[str]


def our_variables() -> list[str]:
    """Every variable that has a meaning for roles, playbooks and plugins."""
    names: set[str] = set()
    for specification in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(specification.read_text())["argument_specs"].values():
            names |= entry.get("options", {}).keys()
    places = ("roles/**/*.yml", "playbooks/**/*.yml", "playbooks/**/*.py", "plugins/**/*.py")
    sources = (source for place in places for source in ROOT.glob(place))
    for source in sources:
        names |= set(re.findall(r"\b_*(?:timewait|ephemeral_ports)_[a-z0-9_]+\b", source.read_text()))
    return sorted(names)


def results_of_ours() -> set[str]:
    """Those of them in which roles keep what they have found."""
    kept = re.compile(r"^ *(?:register: |)((?:__)?timewait_\w+)(?::|$)", re.MULTILINE)
    return {name for tasks in ROOT.glob("roles/*/tasks/*.yml") for name in kept.findall(tasks.read_text())}


class Outcome:
    """What a run left behind."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.out, self.err = (
            (home / name).read_bytes().decode(errors="surrogateescape") for name in ("stdout", "stderr")
        )

    @cached_property
    def witnessed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "witness.jsonl").read_text().splitlines()]

    @property
    def results(self) -> list[dict[str, Any]]:
        return [one for one in self.witnessed if "result" in one]

    def variables(self, *, last: bool) -> dict[str, dict[str, Any]]:
        """Of each host, before any has answered or at the end."""
        said: dict[str, dict[str, Any]] = {}
        for one in self.witnessed:
            if "when" in one and (last or one["host"] not in said):
                said[one["host"]] = one
        return said

    @cached_property
    def report(self) -> dict[str, dict[str, Any]]:
        """The report, by host."""
        whole = json.loads((self.home / "report" / "report.json").read_text())
        return {host["name"]: host for host in whole["hosts"]}

    def received(self, host: str) -> list[dict[str, Any]]:
        """What the controller sent to a hostile host."""
        path = self.home / "received" / f"{host}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def markers(self) -> list[str]:
        return sorted(path.name for path in (self.home / "markers").iterdir())


def play_everything(home: Path, setting: Setting, cast: Cast) -> Outcome:
    """All playbooks over an honest host, the hostile ones, and another honest one."""
    python = python_with(setting.core)
    with contextlib.ExitStack() as stack:
        honest = {}
        for name in (FIRST, LAST):
            (home / name).mkdir()
            honest[name] = stack.enter_context(private_host(home / name))
        environment = _prepare(home, setting, cast, honest)
        before = [START, *_gathering(cast.ways), *_own(cast.ways)]
        if setting.cache:
            _play(home, python, environment, before)
            before = [START]
        _play(home, python, environment, [*before, *_site(setting.playbooks)])
    return Outcome(home)


def _prepare(home: Path, setting: Setting, cast: Cast, honest: dict[str, Host]) -> dict[str, str]:
    for name in ("markers", "received", "home", "work", "work/report"):
        (home / name).mkdir()
    (home / "witness.jsonl").touch()
    secret, poison = home / "secret.key", home / "work" / "report" / "report.json"
    run = "{{ lookup('ansible.builtin.pipe', 'touch %s/%s') }}"
    secret.write_text(f"{SECRET} {run % (home / 'markers', 'secret')}\n")
    poison.write_text(json.dumps({"release": run % (home / "markers", "report")}))
    attack = {
        "secret": str(secret),
        "markers": str(home / "markers"),
        "poison": str(poison),
        "variables": our_variables(),
        "tape": [*cast.tape],
    }
    (home / "attack.json").write_text(json.dumps(attack))
    (home / "inventory.json").write_text(json.dumps(_inventory(home, cast.ways, honest)))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "EPHEMERAL_"))}
    return {
        **kept,
        "HOME": str(home / "home"),
        "NETOPS_SECRET": SECRET,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "build")]),
        "HOSTILE_ATTACK": str(home / "attack.json"),
        "HOSTILE_RECEIVED": str(home / "received"),
        "HOSTILE_WITNESS": str(home / "witness.jsonl"),
        "EPHEMERAL_PORTS_REPORT": str(home / "report"),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection_plugins"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": f"witness,{COLLECTION}.fleet_report",
        "ANSIBLE_FORKS": "8",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INJECT_FACT_VARS": str(setting.inject),
        **({"ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile"} if setting.cache else {}),
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(home / "cache"),
    }


def _inventory(home: Path, ways: Sequence[str], honest: dict[str, Host]) -> dict[str, Any]:
    """In this order: the first wave is an honest host, the second has all others."""
    listen = not ways
    hosts: dict[str, dict[str, Any]] = {FIRST: _reach(home, honest[FIRST], listen)}
    for name in sorted(ways, key=lambda name: name.startswith("lies-")):
        known = {} if name == "discovery" else {"ansible_python_interpreter": "/usr/bin/python3"}
        hosts[name] = {"ansible_connection": "hostile_host", **known}
    hosts[LAST] = _reach(home, honest[LAST], listen)
    return {"all": {"hosts": hosts, "vars": SET_BY_THE_USER}}


def _reach(home: Path, host: Host, listen: bool) -> dict[str, Any]:
    """An honest host. listen: what it answers is written down."""
    script = host.python()
    command = [sys.executable, str(HERE / "recorder.py"), str(home / "tape.jsonl"), *host.enter, sys.executable, "--"]
    if listen:
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    remote = {"ansible_remote_tmp": str(host.home / "remote")}
    return {"ansible_connection": "local", "ansible_python_interpreter": str(script), **remote}


def _gathering(ways: Sequence[str]) -> list[dict[str, Any]]:
    """A play of the user's that gathers facts, also of hosts that give more than asked for."""
    hosts = [FIRST, *(name for name in ways if name.startswith("gathers-")), LAST]
    asked = {"gather_facts": True, "gather_subset": ["!all", "!min", "distribution"]}  # not the environment
    return [{"name": "gather", "hosts": hosts, **asked, "tasks": []}]


def _own(ways: Sequence[str]) -> list[dict[str, Any]]:
    """A play of the user's that calls a module in a loop, and without waiting."""
    hosts = [name for name in ways if name.startswith("facts-")]
    task = {f"{COLLECTION}.port_usage_info": {}, "ignore_errors": True, "register": "own"}
    tasks = [{**task, "loop": [1, 2]}, {**task, "async": 60, "poll": 1}, {**task, "async": 60, "poll": 0}]
    return [{"name": "own", "hosts": hosts, "gather_facts": False, "tasks": tasks}] if hosts else []


def _site(names: Sequence[str]) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = []
    for name in names:
        plays += [{"ansible.builtin.import_playbook": f"{COLLECTION}.{name}"}, FORGIVE]
    return plays[:-1]


def _play(home: Path, python: Path, environment: dict[str, str], plays: list[dict[str, Any]]) -> None:
    (home / "site.json").write_text(json.dumps(plays))
    given = json.dumps({"ephemeral_ports_become": False, "ephemeral_ports_waves": [1, "100%"]})
    command = [python, "-m", "ansible", "playbook", home / "site.json", "-i", home / "inventory.json", "-e", given]
    with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
        subprocess.run(
            [*command, "--diff"], cwd=home / "work", env=environment, check=False, stdin=subprocess.DEVNULL,
            stdout=out, stderr=err, timeout=PATIENCE,
        )  # fmt: skip

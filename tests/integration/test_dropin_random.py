# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts by chance, and wishes that change: observe, plan and apply in one process, as the action puts them together.

Check mode predicts each run exactly, a second run changes nothing, a run that fails changes nothing. A rollback
restores everything byte for byte where nobody has interfered; where somebody has, what is his stays.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import PROCPS, SYSTEMD, Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import Error
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.applied import find_applied
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortSet,
    meant_ports,
    parse_ports,
    parse_range,
    range_ports,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.observe import observe
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.outcome import (
    broken_promises,
    refused_wishes,
    wanted_state,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import asked_ports

from .dropin import (
    DROPIN,
    FIN,
    RANGE,
    RESERVED,
    REUSE,
    START,
    STATE,
    Result,
    absent,
    break_off,
    contents,
    everything,
    get,
    present,
    put,
    run_module,
)
from .inside import in_children, private

HOSTS, WORKERS = 500, 2
TIMESTAMPS = "net.ipv4.tcp_timestamps"
DEFAULTS = {START: "1024", RANGE: "32768 60999", RESERVED: "", REUSE: "2", TIMESTAMPS: "1", FIN: "60"}
OPTIONS = {name: spec.get("default") for name, spec in port_usage_info.ARGUMENTS.items()}
OTHERS = tuple(DROPIN.with_name(name) for name in ("10-site.conf", "98-admin.conf", "99-zzz.conf"))
LOADERS = (
    [Loader(SYSTEMD, (252,)), Loader(PROCPS, (4, 0, 2))],
    [Loader(SYSTEMD, (247,))],
    [Loader(PROCPS, (3, 3, 17))],
    [],
)
PORTS = ("8080", "20000", "21000-21010", "40000", "50000-50002")

Act = Callable[[bool], Any]


class RandomHost:
    """Drawn from a seed. story: what was done to it, for a test that fails."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.story: list[str] = [f"seed {seed}"]
        self.listeners: dict[int, socket.socket] = {}
        self.theirs = PortSet()  # what others have reserved
        self.interfered = False
        self.files_changed = False
        self.on_conflict = self.dice.choice(["fail", "warn", "warn", "ignore"])

    def build(self) -> None:
        for directory in (DROPIN.parent, STATE.parent):
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        put(START, "0")
        for key, value in reversed(DEFAULTS.items()):
            put(key, value)
        dice = self.dice
        for key in dice.sample([RANGE, RESERVED, REUSE, TIMESTAMPS, FIN], dice.randint(0, 3)):
            self.set(key, self.value(key))
        self.theirs = parse_ports(get(RESERVED))
        for path in dice.sample(OTHERS, dice.choice([0, 0, 1, 2])):
            self.write(path, self.lines())
        if dice.random() < 0.2:
            self.write(DROPIN, dice.choice(["# theirs\n", self.lines()]))
        elif dice.random() < 0.1:
            DROPIN.symlink_to("real")
            self.say("the drop-in is a link")
        for _number in range(dice.choice([0, 0, 1, 2])):
            self.listen()
        self.interfered = self.files_changed = False

    def say(self, words: str) -> None:
        self.story.append(words)

    def set(self, key: str, value: str) -> None:
        with contextlib.suppress(OSError):
            put(key, value)
            self.say(f"sysctl -w {key}={value!r}")

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.say(f"{path.name}: {text!r}")

    def value(self, key: str) -> str:
        choices = {
            RANGE: ["32768 60999", "32768 61000", "20000 65535", "1024 65535", "15000 50001"],
            RESERVED: ["", "8080", "8080,20000", "9999,21005", "30000-30010"],
            REUSE: ["0", "1", "2"],
            TIMESTAMPS: ["0", "1", "2"],
            FIN: ["20", "30"],
        }
        return self.dice.choice(choices[key])

    def lines(self) -> str:
        """Of a file of somebody else: plain, with remarks, and such that the kernel refuses."""
        odd = {
            RANGE: "1000 65535",
            RESERVED: "30000-30010 # node ports",
            REUSE: "yes",
            TIMESTAMPS: "1 # needed",
            FIN: "010",
        }
        keys = self.dice.sample(list(odd), self.dice.randint(1, 2))
        return "".join(f"{key} = {odd[key] if self.dice.random() < 0.3 else self.value(key)}\n" for key in keys)

    def listen(self) -> None:
        port = self.dice.choice([443, 11000, 15432, 30080, 40001])
        with contextlib.suppress(OSError):
            self.listeners[port] = socket.create_server(("127.0.0.1", port))
            self.say(f"listen on {port}")

    def policy(self) -> dict[str, Any]:
        dice, policy = self.dice, {}
        choices: dict[str, list[Any]] = {
            "ip_local_port_range": ["auto", "auto", "leave", "10240 60999", "4000 65535", "30000 65535", "40000 50001"],
            "ip_local_reserved_ports": ["auto", "auto", "leave", "8080", "8080,11000,15432,20000,30080,40001"],
            "tcp_tw_reuse": ["auto", "leave", 0, 1],
            "tcp_timestamps": ["auto", "leave", 0, 2],
        }
        for name in dice.sample(list(choices), dice.randint(0, 3)):
            policy[name] = dice.choice(choices[name])
        if policy.get("ip_local_reserved_ports") != "leave":
            policy["reserve"] = dice.sample(PORTS, dice.choice([0, 0, 1, 2]))
        return policy

    def remediate(self, policy: dict[str, Any], trial: bool, check: bool) -> Result | None:
        options = check_options({**OPTIONS, "detail": "full", "probe": "never", "max_pools": 1})
        usage: Any = observe(options, applied=find_applied(str(DROPIN), str(STATE)))
        plan = make_plan(usage, policy)
        refused = refused_wishes(plan, policy)
        if refused:
            raise Error(" ".join(refused))
        state = wanted_state(plan, usage, trial)
        if state is None:
            return None
        lines = ["# Ours."]
        for setting in plan["dropin"]:
            lines += ["", f"# {setting['purpose']}", *(f"# {part}" for part in setting["parts"])]
            lines += [f"{setting['key']} = {setting['wanted']}"]
        result = run_module(
            check,
            state=state,
            content="\n".join(lines) if state == "present" else None,
            trial=trial,
            asked_ports=asked_ports(policy),
            on_conflict=self.on_conflict,
        )
        assert not broken_promises(plan, result)  # type: ignore[arg-type]  # what the module returns has no type
        if policy.get("ip_local_reserved_ports", "auto") == "auto" and not check:
            self.nobody_loses_a_port()
        return result

    def nobody_loses_a_port(self) -> None:
        reserved, reach = parse_ports(get(RESERVED)), range_ports(parse_range(get(RANGE)))
        named = PortSet()
        for path in OTHERS:
            for line in path.read_text().splitlines() if path.exists() else ():
                named |= meant_ports(line.partition("=")[2]) if line.startswith(RESERVED) else PortSet()
        lost = (PortSet.of(self.listeners) | self.theirs | named) & reach - reserved
        assert not lost, f"{lost} can be taken"

    def interfere(self) -> None:
        self.interfered = True
        what = self.dice.choice(["value", "value", "ports", "file", "file", "edit", "remove", "boot"])
        if what == "value":
            key = self.dice.choice([RANGE, REUSE, TIMESTAMPS])
            self.set(key, self.value(key))
        elif what == "ports":
            before = parse_ports(get(RESERVED))
            added, dropped = meant_ports(self.dice.choice(PORTS)), meant_ports(self.dice.choice(PORTS))
            after = (before | added) - dropped if self.dice.random() < 0.5 else before | added
            self.set(RESERVED, str(after))
            self.theirs = (self.theirs | (after - before)) - (before - after)
        elif what == "file":
            self.files_changed = True
            path = self.dice.choice(OTHERS)
            if path.exists() and self.dice.random() < 0.5:
                path.unlink()
                self.say(f"rm {path.name}")
            else:
                self.write(path, self.lines())
        elif what == "edit":
            self.write(
                DROPIN, (DROPIN.read_text() if DROPIN.exists() else "") + self.dice.choice(["# mine\n", self.lines()])
            )
        elif what == "remove" and DROPIN.exists():
            DROPIN.unlink()
            self.say("rm the drop-in")
        elif what == "boot":
            self.set(START, self.dice.choice(["0", "1024", "2000"]))

    def turn(self) -> None:
        policy, trial = self.policy(), self.dice.random() < 0.2
        way = self.dice.random()
        if way < 0.7:
            self.take(
                f"remediate {policy}{' on trial' if trial else ''}", lambda check: self.remediate(policy, trial, check)
            )
        elif way < 0.75:
            self.say("remediate, killed")
            break_off(lambda: present(f"{REUSE} = 0\n{FIN} = 25\n", on_conflict="ignore"))
            self.interfered = self.interfered or DROPIN.is_symlink()
        elif way < 0.85:
            keys = self.dice.sample([RANGE, RESERVED, REUSE, TIMESTAMPS], 2)
            self.take(f"roll back {keys}", lambda check: absent(check=check, keys=keys))
        elif way < 0.95:
            self.take("end the trial", lambda check: absent(check=check, trial=True))
        else:
            self.take("confirm", lambda check: run_module(check, state="confirmed", content=None))

    def take(self, words: str, act: Act) -> Any:
        """Check mode, the run, and the run again."""
        self.say(words)
        start = everything()
        predicted = outcome(act, True)
        assert everything() == start, "check mode changes something"
        start, recovers = contents(), any('"pending": {' in path.read_text() for path in STATE.glob("*.json"))
        done = outcome(act, False)
        assert done == predicted, f"check mode said {predicted}\nthe run said {done}"
        if isinstance(done, str):
            self.say(done)
            assert contents() == start or recovers, "a run that failed has changed something"
            return done
        now = everything()
        again = outcome(act, False)
        assert not isinstance(again, str), f"the second run fails: {again}"
        assert not (again or {}).get("changed"), f"the second run changes something: {again}"
        assert everything() == now, f"the second run changes something: {done}\n{again}"
        return done

    def end(self, before: object) -> None:
        done = self.take("roll back", lambda check: absent(check=check))
        assert not isinstance(done, str), done
        if not self.interfered:
            assert contents() == before, "not exact"
            return
        lost = self.theirs - parse_ports(get(RESERVED))
        assert not lost, f"{lost} of somebody else are released"
        kept = {one["key"] for one in done["settings"] if one["status"] == "kept"}
        if not self.files_changed and RESERVED not in kept and done["file"] != "kept":
            assert get(RESERVED) == str(self.theirs), "reservations of ours stay"


def outcome(act: Act, check: bool) -> Any:
    try:
        return act(check)
    except (Error, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def live(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    host = RandomHost(seed)
    installed = host.dice.choice(LOADERS)
    monkeypatch.setattr(loaders, "find_loaders", lambda: installed)
    try:
        host.build()
        before = contents()
        for _turn in range(host.dice.randint(1, 4)):
            if host.dice.random() < 0.3:
                host.interfere()
            if host.dice.random() < 0.1:
                host.listen()
            host.turn()
        host.end(before)
    except Exception as error:
        raise AssertionError("\n".join([*host.story, f"{type(error).__name__}: {error}"])) from error
    finally:
        for listener in host.listeners.values():
            listener.close()


@pytest.mark.parametrize("worker", range(WORKERS))
@private
def test_random_hosts(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = []
    for seed in range(worker, HOSTS, WORKERS):
        code, text = in_children([lambda seed=seed: live(seed, monkeypatch)])[0]
        if code:
            failed.append(text)
    assert not failed, "\n\n".join([f"{len(failed)} hosts failed", *failed[:40]])

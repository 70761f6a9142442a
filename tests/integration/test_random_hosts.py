# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts by chance, and wishes that change: observe, plan and apply in one process, as the action puts them together.

Each host is one of Debian 11 to 13, and all of this holds on each:
- check mode predicts each run exactly, a second run changes nothing, a run that fails changes nothing;
- a rollback restores everything byte for byte where nobody has interfered; where somebody has, what is his stays;
- no port of a listener, of a reservation or of anybody else is in reach of connect(), which the kernel is asked;
- a boot, by the release's own systemd-sysctl, procps, ufw and tuned, sets what the simulation and the run say.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders
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
from .inside import in_child, private
from .options import defaults_of
from .random_files import grow
from .real_release import KEYS, VERSIONS, Release, empty

HOSTS, PARTS = 34, 5  # of each release, in so many tests
TIMESTAMPS = "net.ipv4.tcp_timestamps"
DEFAULTS = {START: "1024", RANGE: "32768 60999", RESERVED: "", REUSE: "2", TIMESTAMPS: "1", FIN: "60"}
OPTIONS = defaults_of(port_usage_info)
OTHERS = tuple(DROPIN.with_name(name) for name in ("10-site.conf", "98-admin.conf", "99-zzz.conf"))
PLACES = (Path("/etc"), Path("/run"), Path("/var/lib"), *map(Path, ("/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d")))
DOCKER = Path("/var/lib/docker/containers/a/hostconfig.json")
KUBELET = Path("/var/lib/kubelet")
NODE_PORTS = PortSet([(30000, 32767)])
IP_LOCAL_PORT_RANGE, TCP_REPAIR = 51, 19
PORTS = ("8080", "20000", "21000-21010", "40000", "50000-50002")

Act = Callable[[bool], Any]


class RandomHost:
    """Drawn from a seed. story: what was done to it, for a test that fails."""

    def __init__(self, release: Release, seed: int) -> None:
        self.release = release
        self.dice = random.Random(seed)
        self.story: list[str] = [f"seed {seed}"]
        self.listeners: dict[int, socket.socket] = {}
        self.theirs = PortSet()  # what others have reserved
        self.claimed = PortSet()  # published, node ports
        self.at_first = PortSet()  # in reach before the first run
        self.interfered = False
        self.files_changed = False
        self.on_conflict = self.dice.choice(["fail", "warn", "warn", "ignore"])

    def build(self) -> None:
        empty(PLACES)
        for directory in (DROPIN.parent, STATE.parent, Path("/run/lock")):
            directory.mkdir(parents=True, exist_ok=True)
        put(START, "0")
        for key, value in reversed(DEFAULTS.items()):
            put(key, value)
        dice = self.dice
        if dice.random() < 0.5:
            self.story += grow(dice)
        self.choose_loaders()
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
        self.claim()
        self.interfered = self.files_changed = False
        self.boot()
        self.at_first = range_ports(parse_range(get(RANGE))) - self.theirs

    def choose_loaders(self) -> None:
        """Debian has both; others have one or none. ufw calls the sysctl of procps."""
        both = VERSIONS[self.release.root.name]
        choices = [both, both, both[1:], []] if Path("/etc/ufw").exists() else [both, both, both[:1], both[1:], []]
        self.release.loaders = self.dice.choice(choices)
        self.say(f"loaders {[loader.name for loader in self.release.loaders]}")

    def claim(self) -> None:
        if self.dice.random() < 0.2:
            port = self.dice.choice([20500, 35300])
            DOCKER.parent.mkdir(parents=True)
            DOCKER.write_text(json.dumps({"PortBindings": {"80/tcp": [{"HostPort": str(port)}]}}))
            self.claimed |= PortSet.of([port])
            self.say(f"publishes {port}")
        if self.dice.random() < 0.1:
            KUBELET.mkdir(parents=True)
            self.claimed |= NODE_PORTS
            self.say("is a Kubernetes node")

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
        if dice.random() < 0.1:
            policy["do_not_reserve"] = [dice.choice([15432, 30080, 40001, "30000-32767"])]
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
        assert not broken_promises(plan, result["settings"])
        if not check:
            self.nobody_loses_a_port(policy)
            self.boot(result)
        return result

    def others(self) -> PortSet:
        """Ports of listeners, of reservations in force and in files, and of those who need not listen."""
        named = PortSet()
        for path in OTHERS:
            for line in path.read_text().splitlines() if path.exists() else ():
                named |= meant_ports(line.partition("=")[2]) if line.startswith(RESERVED) else PortSet()
        return PortSet.of(self.listeners) | self.theirs | named | self.claimed

    def in_reach(self, ports: PortSet) -> PortSet:
        """Those that a connect() gets where it may choose no other, once the listeners are closed, as in a restart."""
        for listener in self.listeners.values():
            listener.close()
        reached = PortSet.of(port for port in expand(ports) if chosen_port(port) == port)
        self.listeners = {port: socket.create_server(("127.0.0.1", port)) for port in self.listeners}
        return reached

    def nobody_loses_a_port(self, policy: dict[str, Any]) -> None:
        """With a list of his own, or none, the user leaves in reach what was there before us, and no more."""
        may = parse_ports(",".join(map(str, policy.get("do_not_reserve", []))))
        if policy.get("ip_local_reserved_ports", "auto") == "auto":
            lost = self.in_reach(meant_ports(",".join(policy.get("reserve", []))))
            assert not lost, f"{lost} were named, and can be taken"
        elif self.interfered:
            return
        else:
            may |= self.at_first
        lost = self.in_reach(self.others() - may)
        assert not lost, f"{lost} can be taken"

    def boot(self, result: Result | None = None) -> None:
        """The real boot, its simulation, and what a run said of it agree."""
        for loader in self.release.loaders:
            booted, predicted = self.release.boot(loader), self.release.predict(loader)
            assert booted == predicted, f"{loader} boots {booted}, predicted was {predicted}"
            for one in result["settings"] if result and loader == self.release.loaders[0] else ():
                said = KEYS[one["key"]] if one["boot_value"] is None else one["boot_value"]
                assert said == booted[one["key"]], f"{one['key']} boots {booted[one['key']]}, the run said {said}"

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


def expand(ports: PortSet) -> list[int]:
    return [port for low, high in ports.spans for port in range(low, high + 1)]


def chosen_port(wanted: int) -> int | None:
    """The port that a connect() chooses which may choose this one alone, or any where the range is elsewhere."""
    with socket.socket() as client:
        client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", wanted << 16 | wanted))
        client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)  # nothing is sent
        port: int | None = None if client.connect_ex(("127.0.0.1", 9)) else client.getsockname()[1]
    return port


def live(release: Release, seed: int) -> None:
    host = RandomHost(release, seed)
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


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", VERSIONS)
@private
def test_random_hosts(name: str, part: int, debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Release(debian / name)
    assert release.loaders == VERSIONS[name]
    monkeypatch.setattr(loaders, "find_loaders", lambda: release.loaders)
    failed = []
    first = HOSTS * (PARTS * list(VERSIONS).index(name) + part)
    for seed in range(first, first + HOSTS):
        code, text = in_child(lambda seed=seed: live(release, seed))
        if code:
            failed.append(text)
    assert not failed, "\n\n".join([f"{len(failed)} of {HOSTS} hosts failed", *failed[:40]])

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run waits for hosts that do not answer, with the settings that Ansible has against it.

    python tests/benchmark/dead_hosts.py [--hosts N] [--dead N] [--limit SECONDS] [--only KIND ...]

Of hosts with real OpenSSH servers (ssh_hosts.py) some fall silent, in one way after the other. The playbook `diagnose`
runs over all of them, and is ended after the limit. Prints a table in Markdown. Needs root and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ssh_fleet
from ssh_fleet import WITHOUT_SUDO, Controller
from ssh_hosts import Host, Server, fleet

NOBODY = "02:00:00:00:00:01"
ALIVE = "-o ServerAliveInterval=5 -o ServerAliveCountMax=2"


class Setting(NamedTuple):
    """What a user sets. ssh: added to the options of ssh."""

    words: str
    environment: Mapping[str, str] = {}
    variables: Sequence[str] = ()
    ssh: str = ""
    forks: int = 25


USUAL = Setting("as Ansible has it, 25 forks")
SHORT = Setting("`timeout = 3`", {"ANSIBLE_TIMEOUT": "3"})
LIMITED = Setting("`timewait_diagnose_timeout: 30`", variables=["timewait_diagnose_timeout=30"])
ALL = Setting(
    "`timeout = 3`, `timewait_diagnose_timeout: 30`, `ServerAliveInterval=5`",
    {"ANSIBLE_TIMEOUT": "3"},
    ["timewait_diagnose_timeout=30"],
    ALIVE,
)
CONNECTING = (
    Setting("as Ansible has it, 5 forks", forks=5),
    USUAL,
    Setting("`timeout = 10`, `retries = 3`", {"ANSIBLE_SSH_RETRIES": "3"}),
    SHORT,
    Setting("`strategy = free`", {"ANSIBLE_STRATEGY": "free"}),
    ALL,
)


class Kind(NamedTuple):
    """A way to be silent. begin, end: for each such host. open: whether there is a connection to it already."""

    name: str
    words: str
    settings: Sequence[Setting]
    begin: Callable[[Host], None]
    end: Callable[[Host], None]
    open: bool = False
    variables: str = ""


def drop(host: Host) -> None:
    """Frames go to a station that there is not: no answer, and no error either."""
    neighbour(host, "replace", "lladdr", NOBODY, "nud", "permanent")


def answer_again(host: Host) -> None:
    neighbour(host, "delete")


def neighbour(host: Host, verb: str, *words: str) -> None:
    subprocess.run(["ip", "neighbour", verb, host.address, "dev", host.link, *words], check=True)


def freeze(host: Host) -> None:
    """The kernel still accepts connections, to which nobody says a word."""
    os.kill(host.keeper.pid, signal.SIGSTOP)


def thaw(host: Host) -> None:
    os.kill(host.keeper.pid, signal.SIGCONT)


def nothing(_host: Host) -> None:
    pass


KINDS = (
    Kind("none", "all answer", (USUAL,), nothing, nothing),
    Kind("dropped", "packets are dropped", CONNECTING, drop, answer_again),
    Kind("frozen", "accepts, and says nothing", CONNECTING, freeze, thaw),
    Kind(
        *("hung", "the module hangs", (USUAL, LIMITED, ALL), nothing, nothing),
        variables=" ansible_python_interpreter={directory}/hang",
    ),
    Kind(
        *("vanished", "packets are dropped, with the connection open", (USUAL, LIMITED), drop, answer_again),
        open=True,
    ),
    Kind(
        *("kept alive", "the same, opened with `ServerAliveInterval=5`, `ServerAliveCountMax=2`"),
        *((Setting("as Ansible has it, 25 forks", ssh=ALIVE), ALL), drop, answer_again),
        open=True,
    ),
)


class Course(NamedTuple):
    """Seconds until the last host that answers was done, and until the end, None where it had to be ended."""

    healthy: float
    wall: float | None
    said: str


class Bench:
    def __init__(self, controller: Controller, hosts: Sequence[Host], dead: int, limit: float) -> None:
        self.controller = controller
        self.hosts = hosts
        self.silent = hosts[len(hosts) // dead // 2 :: len(hosts) // dead][:dead]
        self.limit = limit
        hang = controller.directory / "hang"
        hang.write_text("#!/bin/sh\nexec sleep 3600\n")
        hang.chmod(0o755)

    def run(self, kind: Kind) -> Iterator[tuple[Setting, Course]]:
        opened = self.controller.directory / f"cp-{kind.name.replace(' ', '')}"
        for setting in kind.settings:
            environment = {
                **setting.environment,
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(opened),
                "ANSIBLE_SSH_ARGS": f"{self.controller.environment['ANSIBLE_SSH_ARGS']} {setting.ssh}",
            }
            if kind.open or not opened.exists():
                first = [host for host in self.hosts if kind.open or host not in self.silent]
                self.play(self.inventory(first, ""), USUAL, environment)  # connections are warm from here on
            for host in self.silent:
                kind.begin(host)
            try:
                variables = kind.variables.format(directory=self.controller.directory)
                yield setting, self.play(self.inventory(self.hosts, variables), setting, environment)
            finally:
                for host in self.silent:
                    kind.end(host)

    def inventory(self, hosts: Sequence[Host], variables: str) -> Path:
        path = self.controller.directory / "inventory"
        lines = (f"{one.name} ansible_host={one.address}{variables if one in self.silent else ''}\n" for one in hosts)
        path.write_text("".join(lines))
        return path

    def play(self, inventory: Path, setting: Setting, environment: Mapping[str, str]) -> Course:
        command = [sys.executable, "-m", "ansible", "playbook", "--inventory", str(inventory)]
        command += ["--forks", str(setting.forks), *WITHOUT_SUDO, "netops.ephemeral_ports.diagnose"]
        command += [word for variable in setting.variables for word in ("--extra-vars", variable)]
        begin, healthy, said = time.monotonic(), 0.0, ""
        process = subprocess.Popen(
            command,
            cwd=self.controller.directory,
            env={**self.controller.environment, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        assert process.stdout is not None
        for line in process.stdout:
            if re.match(r"ok: \[", line):
                healthy = time.monotonic() - begin
            elif match := re.match(r"fatal: \[.*\]: (UNREACHABLE|FAILED)! => .*?\"msg\": \"(.*?)\"[,}]", line):
                said = said or f"{match[1].lower()}: {match[2]}"
        code = process.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        wall = None if code == -signal.SIGKILL else time.monotonic() - begin
        print(f"{healthy:.1f} {wall} {code} {said}", file=sys.stderr, flush=True)
        return Course(healthy, wall, said)


def inside(options: argparse.Namespace) -> int:
    rows = []
    with fleet(options.hosts, options.inside, Server(*json.loads(options.server))) as hosts:
        bench = Bench(Controller(options.inside), hosts, options.dead, options.limit)
        for kind in KINDS:
            if kind.name in options.only:
                for setting, course in bench.run(kind):
                    wall = f"{course.wall:.1f}" if course.wall is not None else f"> {options.limit:.0f}"
                    rows.append([kind.words, setting.words, f"{course.healthy:.1f}", wall])
    head = [f"{options.dead} of {options.hosts} hosts", "settings", "the others are done, s", "the run ends, s"]
    print("\n".join(f"| {' | '.join(row)} |" for row in [head, ["---", "---", "---:", "---:"], *rows]))
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--dead", type=int, default=5)
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a run is ended")
    names = [one.name for one in KINDS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--time-limit", type=float, default=2400, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return inside(options) if options.inside else ssh_fleet.outside(arguments, options, Path(__file__))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

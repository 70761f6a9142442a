# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs over real SSH: ours, what people use today, and a bare ping, side by side.

    python tests/benchmark/ssh_fleet.py [--hosts N ...] [--forks N ...] [--rounds N] [--only NAME ...]

Makes hosts with OpenSSH servers in namespaces of its own (ssh_hosts.py), runs every playbook in turn, so that all
suffer alike from what else the machine does, and puts the hosts back in between. Checks after each run that each host
has the values that it should have. Prints tables in Markdown and ends with 1 where a target of the project was measured
and missed. Needs root and Linux; on Debian it gets the server itself. All that it makes ends with it, Ctrl-C included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(HERE)]

from ssh_hosts import Host, Server, find_server, fleet  # noqa: E402 - it is found only now

START = {
    "ip_local_port_range": "32768 60999",
    "ip_local_reserved_ports": "",
    "tcp_timestamps": "0",
    "tcp_tw_reuse": "2",
}
WANTED = {
    "ip_local_port_range": "10240 65535",
    "ip_local_reserved_ports": "30000-32767",
    "tcp_timestamps": "1",
    "tcp_tw_reuse": "1",
}
GRACE = 300  # seconds for the run that is under way when the time is up
TICKS = os.sysconf("SC_CLK_TCK")
WITHOUT_SUDO = ["--extra-vars", "ephemeral_ports_become=false"]
RESERVE = ["--extra-vars", '{"timewait_remediate_reserve": ["30000-32767"]}']


class Contender(NamedTuple):
    """A playbook to measure. changes: whether hosts have the wanted values afterwards."""

    name: str
    title: str
    playbook: str
    changes: bool = True
    options: Sequence[str] = ()


CONTENDERS = (
    Contender("ping", "`ansible.builtin.ping`", "ping.yml", changes=False),
    Contender("diagnose", "**ours**: playbook `diagnose`", "netops.ephemeral_ports.diagnose", False),
    Contender("loop", "`ansible.posix.sysctl` in a loop", "posix_sysctl.yml"),
    Contender("template", "`template` and `sysctl --system`", "template.yml"),
    Contender("dropin", "**ours**: module `sysctl_dropin`", "sysctl_dropin.yml"),
    Contender(
        "remediate", "**ours**: playbook `remediate`", "netops.ephemeral_ports.remediate", True, WITHOUT_SUDO + RESERVE
    ),
)


class Cost(NamedTuple):
    """Seconds: of the clock, of the controller's processors, and of the hosts' processors."""

    wall: float
    controller: float
    hosts: float


class Target(NamedTuple):
    """For 50 hosts: dividend at least (or at most) `limit` times the divisor, by a cost."""

    what: str
    dividend: str
    divisor: str
    limit: float
    is_ceiling: bool
    by: str = "wall"

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.limit if self.is_ceiling else ratio >= self.limit


TARGET_HOSTS = 50
TARGETS = (
    Target("diagnosis / ping, wall", "diagnose", "ping", 1, True),
    Target("diagnosis / ping, controller CPU", "diagnose", "ping", 1, True, "controller"),
    Target("diagnosis / ping, host CPU", "diagnose", "ping", 0.4, True, "hosts"),
    Target("four keys: loop / `sysctl_dropin`, wall", "loop", "dropin", 3.5, False),
    Target("loop / whole remediation, wall", "loop", "remediate", 2.2, False),
)


class Controller:
    """Runs ansible-playbook from a directory, never with what the user has configured."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SSH_"))}
        self.environment = {
            **kept,
            "HOME": str(directory),
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_PYTHON_INTERPRETER": shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable,
            "ANSIBLE_SSH_ARGS": f"-F {directory}/ssh_config -C -o ControlMaster=auto -o ControlPersist=1h",
        }
        (directory / "ansible.cfg").touch()
        names = {f"net.ipv4.{key}": value for key, value in WANTED.items()}
        (directory / "wanted.json").write_text(json.dumps({"wanted": names}))

    def inventory(self, hosts: Sequence[Host]) -> Path:
        path = self.directory / f"inventory{len(hosts)}"
        path.write_text("".join(f"{host.name} ansible_host={host.address}\n" for host in hosts))
        return path

    def play(self, contender: Contender, inventory: Path, forks: int, **environment: str) -> Cost:
        playbook = contender.playbook
        if playbook.endswith(".yml"):
            playbook = str(HERE / "playbooks" / playbook)
        command = [sys.executable, "-m", "ansible", "playbook", "--inventory", str(inventory), "--forks", str(forks)]
        command += ["--extra-vars", f"@{self.directory}/wanted.json", *contender.options, playbook]
        output = self.directory / "output"
        masters, servers, begin = cpu_of_masters(), cpu_of_servers(), time.monotonic()
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
            _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        if status:
            sys.exit(f"{contender.title} failed:\n{output.read_text()}")
        own = usage.ru_utime + usage.ru_stime
        return Cost(wall, own + cpu_of_masters() - masters, cpu_of_servers() - servers)


def processes(name: str) -> Iterator[Path]:
    for stat in Path("/proc").glob("[0-9]*/comm"):
        if stat.read_text().strip() == name:
            yield stat.parent


def cpu_of_masters() -> float:
    """Seconds that the ssh clients which stay have used: what Ansible itself waits for is not among them."""
    return sum(int((process / "schedstat").read_text().split()[0]) for process in processes("ssh")) / 1e9


def cpu_of_servers() -> float:
    """Seconds that the ssh servers and what they started have used, as far as it has ended."""
    fields = [(process / "stat").read_text().rpartition(") ")[2].split()[11:15] for process in processes("sshd")]
    return sum(sum(map(int, row)) for row in fields) / TICKS


def payload(controller: Controller, host: Host, contender: Contender) -> dict[str, int]:
    """The size of each module that the contender sends, with all that travels with it."""
    controller.play(
        contender, controller.inventory([host]), 1, ANSIBLE_PIPELINING="false", ANSIBLE_KEEP_REMOTE_FILES="true"
    )
    files = (host.directory / "home" / ".ansible" / "tmp").glob("*/AnsiballZ_*.py")
    sizes = {file.stem.partition("_")[2]: file.stat().st_size for file in files}
    shutil.rmtree(host.directory / "home" / ".ansible")
    return sizes


class Bench:
    """All runs. What does not fit into the time is left out."""

    def __init__(self, controller: Controller, hosts: Sequence[Host], contenders: Sequence[Contender]) -> None:
        self.controller = controller
        self.hosts = hosts
        self.contenders = contenders

    def rounds(self, hosts: Sequence[Host], forks: int, rounds: int, end: float) -> dict[str, list[Cost]]:
        """The costs of all rounds that are complete at the end."""
        inventory = self.controller.inventory(hosts)
        self.controller.play(CONTENDERS[0], inventory, forks)  # connections are warm from here on
        costs: dict[str, list[Cost]] = {one.name: [] for one in self.contenders}
        for _round in range(rounds):
            done = {}
            for one in self.contenders:
                if time.monotonic() > end:
                    print("the time is up: this round is left out", file=sys.stderr)
                    return costs
                done[one.name] = self.run(one, hosts, inventory, forks)
            for name, cost in done.items():
                costs[name].append(cost)
        return costs

    def run(self, contender: Contender, hosts: Sequence[Host], inventory: Path, forks: int) -> Cost:
        for host in hosts:
            host.reset(START)
        cost = self.controller.play(contender, inventory, forks)
        expected = WANTED if contender.changes else START
        wrong = {host.name: found for host in hosts if (found := host.sysctls()) != expected}
        if wrong:
            sys.exit(f"{contender.title} did not leave what it should: {wrong}")
        words = f"{len(hosts)} hosts, {forks} forks, {contender.name}: {cost.wall:.2f} s"
        print(f"{words}, controller {cost.controller:.2f} s, hosts {cost.hosts:.2f} s", file=sys.stderr, flush=True)
        return cost


def medians(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _column in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cost_table(contenders: Sequence[Contender], costs: dict[str, Cost], hosts: int, forks: int) -> str:
    head = [f"{hosts} hosts, {forks} forks", "wall, s", "controller CPU per host, ms", "host CPU, ms"]
    rows = []
    for one in contenders:
        wall, *cpu = costs[one.name]
        rows.append([one.title, f"{wall:.2f}", *(f"{spent * 1000 / hosts:.0f}" for spent in cpu)])
    return table(head, rows)


def verdicts(costs: dict[str, Cost], hosts: int, forks: int) -> Iterator[tuple[list[str], bool]]:
    """A line for each target that was measured, and whether it is met."""
    for one in TARGETS:
        if hosts == TARGET_HOSTS and {one.dividend, one.divisor} <= set(costs):
            dividend, divisor = costs[one.dividend], costs[one.divisor]
            ratio = getattr(dividend, one.by) / getattr(divisor, one.by)
            met = one.is_met(ratio)
            wanted = f"{'<=' if one.is_ceiling else '>='} {one.limit:g}"
            yield [f"{one.what}, {forks} forks", f"{ratio:.2f}", wanted, "yes" if met else "**no**"], met


def inside(options: argparse.Namespace) -> int:
    """Runs in the namespaces: make the hosts, measure, print."""
    end = time.monotonic() + options.time_limit
    server = Server(*json.loads(options.server))
    contenders = [one for one in CONTENDERS if one.name in options.only]
    lines, all_met = [], True
    with fleet(max(options.hosts), options.inside, server) as hosts:
        controller = Controller(options.inside)
        bench = Bench(controller, hosts, contenders)
        sizes: dict[str, int] = {}
        for one in contenders:
            hosts[0].reset(START)
            sizes.update(payload(controller, hosts[0], one))
        print(table(["module", "sent, bytes"], [[name, f"{size:,}"] for name, size in sorted(sizes.items())]))
        for number in options.hosts:
            # Forks beyond the hosts are never started.
            for forks in sorted({min(one, max(number, min(options.forks))) for one in options.forks}):
                found = bench.rounds(hosts[:number], forks, options.rounds, end)
                if not all(found.values()):
                    continue
                costs = {name: medians(rounds) for name, rounds in found.items()}
                print(cost_table(contenders, costs, number, forks), flush=True)
                for line, met in verdicts(costs, number, forks):
                    lines.append(line)
                    all_met = all_met and met
    print(f"medians of {options.rounds} rounds\n")
    if lines:
        print(table(["target", "measured", "wanted", "met"], lines))
    return 0 if all_met else 1


def processor() -> str:
    """The name that the kernel has for it."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


def outside(arguments: Sequence[str], options: argparse.Namespace, script: Path) -> int:
    """Start the rest in namespaces that end with this process, whatever ends it."""
    if os.geteuid() != 0:
        sys.exit("The benchmark needs root to make hosts of namespaces.")
    missing = [name for name in ("ip", "nsenter", "ssh", "ssh-keygen", "sysctl", "unshare") if not shutil.which(name)]
    if missing:
        sys.exit(f"The benchmark needs these programs: {', '.join(missing)}")
    server = find_server()
    where = f"Linux {platform.release()}, {os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"
    where += f", ansible-core {version('ansible-core')}"
    load = f"load average {os.getloadavg()[1]:.0f} at the start"
    print(f"{time.strftime('%Y-%m-%d')}, {where}, {load}\n", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="fleet") as directory:
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        command += [sys.executable, str(script), "--inside", directory, "--server", json.dumps(server), *arguments]
        # In a session of its own: Ctrl-C ends this process, and that ends all others at once.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                return process.wait(options.time_limit + GRACE)
            except KeyboardInterrupt:
                return 130
            except subprocess.TimeoutExpired:
                sys.exit("The benchmark hangs, and was ended.")
            finally:
                process.kill()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="What a fleet costs over real SSH, side by side.")
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 10, TARGET_HOSTS])
    parser.add_argument("--forks", type=int, nargs="+", default=[5, 25])
    parser.add_argument("--rounds", type=int, default=3)
    names = [one.name for one in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--time-limit", type=float, default=2400, help="seconds after which nothing new is begun")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return inside(options) if options.inside else outside(arguments, options, Path(__file__))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

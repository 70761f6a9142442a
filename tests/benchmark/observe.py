# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What asking for TIME_WAIT sockets costs: ours, a C program that does the same, and what people use today.

    python3 tests/benchmark/observe.py [--sockets N ...] [--rounds N]

Fills private network namespaces with sockets (populate.c) and runs every way to ask in turn, so that all suffer alike
from what else the machine does. Prints tables in Markdown, writes build/bench/results.json, and ends with 1 where a
target of the project was measured and missed. Needs gcc, and leave to make namespaces (any user's, or root's).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / "build" / "bench"
PLUGINS = ROOT / "plugins"
PROGRAMS = ("populate", "floor", "measure")
# What goes to a host, and the command that runs it there.
SENT, TRAVELS = OUTPUT / "observation", OUTPUT / "observation.sh"

LOW, HIGH = 1024, 65535
PORTS = HIGH - LOW + 1
MANY = 1000
HOLD_SECONDS = 900
TOP = 500_000
BARE, FLOOR, OURS, SS, NETSTAT, PSUTIL, SOCKSTAT = (
    "bare interpreter",
    "C: floor",
    "**ours**, histogram with ages",
    "ss \\| mawk, no ages",
    "netstat \\| awk, totals only",
    "psutil, no ages",
    "ours: read sockstat",
)

PSUTIL_SOURCE = """
import sys; sys.path.insert(0, sys.argv[1])
import collections, psutil
every = psutil.net_connections("tcp")
print(collections.Counter((one.laddr[0], one.raddr) for one in every if one.status == "TIME_WAIT"))
"""


class Population(NamedTuple):
    """Sockets to fill a namespace with.

    role: the end that keeps them in TIME_WAIT, client or server; connect for a client with ports as connect() takes
    them.
    """

    role: str
    sockets: int
    destinations: int

    @property
    def title(self) -> str:
        if self.role == "server":
            return f"{self.sockets // 1000} k at a server"
        how = " by connect()" if self.role == "connect" else ""
        return f"{self.sockets // 1000} k, {'one' if self.destinations == 1 else 'many'}{how}"


class Way(NamedTuple):
    """A command that asks. It is run in every n-th round only where it is slow."""

    name: str
    command: list[str]
    every: int = 1


class Cost(NamedTuple):
    milliseconds: float
    mebibytes: float


class Target(NamedTuple):
    """What the project promises at 500 k sockets: value at most, or at least, the limit."""

    what: str
    value: float
    limit: float
    is_ceiling: bool
    unit: str

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit if self.is_ceiling else self.value >= self.limit


def build() -> None:
    """Compile the C programs. Leaves with a message where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("The benchmark needs a C compiler to make the sockets and the floor: apt-get install gcc libc6-dev")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        source = str(HERE / f"{name}.c")
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(OUTPUT / name), source], check=True)


def write_program() -> None:
    """Make what travels to a host: a program, with the options that port_usage_info has by itself."""
    sys.path.insert(0, str(PLUGINS))
    from ask import DEFAULTS
    from plugin_utils import _program

    given = _program.describe_given({**DEFAULTS, "detail": "auto"}, check=False, log=None)
    SENT.write_bytes(_program.as_input(_program.build("_usage.run"), given))
    TRAVELS.write_text(f"{sys.executable} {_program.LOADER} < {SENT}\n")


def install_psutil() -> str | None:
    """The directory that psutil was installed into, or None where pip could not."""
    where = OUTPUT / "python"
    wanted = ["--requirement", str(ROOT / "requirements" / "bench.txt"), "--target", str(where), "--upgrade"]
    if not (where / "psutil").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        subprocess.run(pip, check=False)
    return str(where) if (where / "psutil").is_dir() else None


def ways(psutil: str | None) -> Iterator[Way]:
    """All ways to ask for which the machine has the programs; the others are named on standard error."""
    bare = [sys.executable, "-I", "-S"]
    limits = (str(LOW), str(HIGH))

    def ask(way: str, *port_range: str) -> list[str]:
        return [*bare, str(HERE / "ask.py"), str(PLUGINS), way, *port_range]

    yield Way(BARE, [*bare, "-c", ""])
    yield Way(SOCKSTAT, ask("sockstat"))
    yield Way(FLOOR, [str(OUTPUT / "floor"), *limits])
    yield Way(OURS, ask("netlink", *limits))
    yield Way("ours: port_usage_info without Ansible", ask("module"))
    yield Way("ours: a whole observation, as it travels", ["/bin/sh", str(TRAVELS)])
    yield Way("ours, through procfs", ask("procfs", *limits), every=2)
    shell = ["/bin/sh", "-c"]
    piped = "ss -Htan state time-wait | mawk '{++number[$4]} END {for (peer in number) print peer, number[peer]}'"
    classic = "netstat -n | awk '/^tcp/ {++state[$NF]} END {for (one in state) print one, state[one]}'"
    others = [
        (("ss", "mawk"), Way(SS, [*shell, piped])),
        (("netstat", "awk"), Way(NETSTAT, [*shell, classic])),
    ]
    for programs, way in others:
        missing = [name for name in programs if shutil.which(name) is None]
        if missing:
            print(f"skipped: {way.name}: no {' and no '.join(missing)} here", file=sys.stderr)
        else:
            yield way
    if psutil:
        yield Way(PSUTIL, [*bare, "-c", PSUTIL_SOURCE, psutil], every=3)
    else:
        print("skipped: psutil could not be installed", file=sys.stderr)


def measure(command: Sequence[str]) -> Cost:
    done = subprocess.run([str(OUTPUT / "measure"), *command], check=True, stdout=subprocess.PIPE, text=True)
    microseconds, kibibytes = done.stdout.split()
    return Cost(int(microseconds) / 1000, int(kibibytes) / 1024)


def time_wait_sockets() -> int:
    words = Path("/proc/net/sockstat").read_text().split()
    return int(words[words.index("tw") + 1])


def check_counts(population: Population, floor: Way, ours: Way) -> None:
    """Both must find every socket, and the same for each destination."""
    answers = []
    for way in (floor, ours):
        lines = subprocess.run(way.command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        answers.append(({tuple(line.split()[:5]) for line in lines[:-1]}, lines[-1].split()))
    in_time_wait = int(answers[1][1][6])
    if answers[0] != answers[1] or in_time_wait != population.sockets:
        sys.exit(f"{population.title}: wrong counts: ours finds {in_time_wait} in TIME_WAIT, or differs from the floor")


def inside(population: Population, psutil: str | None, rounds: int) -> dict[str, Any]:
    """Runs in the namespace: fill it, measure, and return the medians by name."""
    fill = [str(OUTPUT / "populate"), population.role, str(population.sockets), str(population.destinations)]
    begin = time.monotonic()
    with subprocess.Popen([*fill, str(HOLD_SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            sys.exit(f"{population.title}: could not be filled")
        filled_in = time.monotonic() - begin
        every = list(ways(psutil))
        check_counts(population, *(way for way in every if way.name in (FLOOR, OURS)))
        costs: dict[str, list[Cost]] = {way.name: [] for way in every}
        for turn in range(rounds):
            for way in every:
                if turn % way.every == 0:
                    costs[way.name].append(measure(way.command))
        held = time_wait_sockets()
        holder.stdin.close()
    if held != population.sockets:
        sys.exit(f"{population.title}: only {held} sockets were held to the end")
    medians = {name: median_of_each(found) for name, found in costs.items()}
    return {"population": population._asdict(), "title": population.title, "filled_in": filled_in, "costs": medians}


def median_of_each(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def healthy() -> list[float]:
    """Runs in an empty namespace: microseconds of CPU, the first time and the median of many."""
    command = [sys.executable, "-I", "-S", str(HERE / "ask.py"), str(PLUGINS), "healthy"]
    runs = []
    for _run in range(5):
        method, *spent = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        if method != "sockstat":
            sys.exit("the healthy path took a dump")
        runs.append([float(one) for one in spent])
    return median_of_each(runs)


def in_namespace(task: dict[str, Any], addresses: int) -> Any:
    """Run this script's task in private namespaces and return its answer."""
    settings = {
        "ip_local_port_range": f"{LOW} {HIGH}",
        "tcp_max_tw_buckets": "4000000",
        "tcp_tw_reuse": "0",
        "tcp_rfc1337": "1",
    }
    command = [sys.executable, str(ROOT / "scripts" / "private_namespaces.py")]
    command += [f"--address=198.18.0.{number}" for number in range(1, addresses + 1)]
    command += [f"--sysctl=net.ipv4.{key}={value}" for key, value in settings.items()]
    command += ["--", sys.executable, str(Path(__file__).resolve()), "--inside", json.dumps(task)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def targets(results: Sequence[dict[str, Any]], healthy_us: Sequence[float]) -> Iterator[Target]:
    for one in results:
        if one["population"]["sockets"] < TOP:
            continue
        costs = {name: Cost(*cost) for name, cost in one["costs"].items()}
        ours = costs[OURS]
        if one["population"]["role"] == "client":
            ratio = ours.milliseconds / costs[FLOOR].milliseconds
            yield Target(f"{one['title']}: ours / floor", ratio, 2.5, True, "times")
            for name, limit in ((SS, 2.5), (NETSTAT, 6), (PSUTIL, 20)):
                if name in costs:
                    ratio = costs[name].milliseconds / ours.milliseconds
                    yield Target(f"{one['title']}: {name.partition(',')[0]} / ours", ratio, limit, False, "times")
        more = ours.mebibytes - costs[BARE].mebibytes
        yield Target(f"{one['title']}: memory above the bare interpreter", more, 8, True, "MiB")
    yield Target("healthy: no dump, beyond the interpreter's start", healthy_us[1] / 1000, 1, True, "ms")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _column in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def report(results: Sequence[dict[str, Any]], healthy_us: Sequence[float]) -> bool:
    """Print the tables. Returns whether every target was met."""
    head = [one["title"] for one in results]
    names = list(results[0]["costs"])
    for number, unit in ((0, "CPU, milliseconds"), (1, "peak memory, MiB")):
        digits = 1 if number else 0
        rows = [[name, *(f"{one['costs'][name][number]:.{digits}f}" for one in results)] for name in names]
        print(table([unit, *head], rows))
    print(f"Healthy host, no dump: {healthy_us[0]:.0f} us of CPU the first time, then {healthy_us[1]:.0f} us\n")
    found = list(targets(results, healthy_us))
    rows = [
        [one.what, f"{one.value:.2f} {one.unit}", f"{'<=' if one.is_ceiling else '>='} {one.limit:g}", verdict(one)]
        for one in found
    ]
    print(table(["target", "measured", "wanted", "met"], rows))
    return all(one.is_met for one in found)


def verdict(target: Target) -> str:
    return "yes" if target.is_met else "**no**"


def main() -> int:
    parser = argparse.ArgumentParser(description="What asking for TIME_WAIT sockets costs, side by side.")
    parser.add_argument("--sockets", type=int, nargs="+", default=[28_000, 250_000, TOP])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        task = json.loads(options.inside)
        kind = task.pop("population", None)
        print(json.dumps(inside(Population(**kind), **task) if kind else healthy()))
        return 0

    build()
    write_program()
    psutil = install_psutil()
    populations = [Population("client", number, many) for number in options.sockets for many in (1, MANY)]
    if TOP in options.sockets:
        populations += [Population("connect", TOP, MANY), Population("server", TOP, 1)]
    where = f"Linux {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{time.strftime('%Y-%m-%d')}, {where}, medians of {options.rounds} rounds\n", flush=True)
    healthy_us = in_namespace({}, 1)
    results = []
    for population in populations:
        task = {"population": population._asdict(), "psutil": psutil, "rounds": options.rounds}
        results.append(in_namespace(task, -(-population.sockets // population.destinations // PORTS)))
        spent = {name: f"{cost[0]:.0f} ms" for name, cost in results[-1]["costs"].items()}
        print(f"{population.title}: filled in {results[-1]['filled_in']:.0f} s, {spent}", file=sys.stderr)
    OUTPUT.joinpath("results.json").write_text(json.dumps({"results": results, "healthy_us": healthy_us}, indent=1))
    return 0 if report(results, healthy_us) else 1


if __name__ == "__main__":
    sys.exit(main())

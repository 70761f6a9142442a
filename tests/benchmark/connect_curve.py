# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long connect() takes while more and more ports towards one destination are in TIME_WAIT.

    python3 tests/benchmark/connect_curve.py [--samples N] [--output FILE]

Runs itself in private network namespaces (scripts/private_namespaces.py), fills the range step by step, measures at
each step, and writes medians and 99th percentiles as JSON. About a minute. Needs Linux 6.3 or newer: the filling
sockets are given their port by IP_LOCAL_PORT_RANGE, so that the kernel keeps them as if connect() had chosen it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "benchmark" / "connect_curve.json"

DESTINATION = ("198.18.0.1", 80)  # below every range, which would lose the port of a listener
IP_LOCAL_PORT_RANGE = 51
TIME_WAIT_SECONDS = 60
REUSE_AFTER_SECONDS = 1.3
STEPS = (0, 10, 20, 30, 40, 45, 49, 50, 51, 55, 60, 70, 80, 90, 99)


class Setting(NamedTuple):
    """What the kernel is told for one curve."""

    name: str
    low: int
    high: int
    reuse: int

    @property
    def sysctls(self) -> dict[str, str]:
        return {
            "net.ipv4.ip_local_port_range": f"{self.low} {self.high}",
            "net.ipv4.tcp_tw_reuse": str(self.reuse),
            "net.ipv4.tcp_max_tw_buckets": "262144",
        }


SETTINGS = (
    Setting("default range", 32768, 60999, 0),
    Setting("1024-65535", 1024, 65535, 0),
    Setting("default range, tcp_tw_reuse = 1", 32768, 60999, 1),
)


def in_kernel_order(low: int, high: int) -> list[int]:
    """All ports as connect() uses them up: those with the parity of the first one, then the others."""
    first, second = list(range(low, high + 1, 2)), list(range(low + 1, high + 1, 2))
    shuffle = random.Random(1).shuffle
    shuffle(first)
    shuffle(second)
    return first + second


def open_and_close(server: socket.socket, client: socket.socket) -> tuple[int, float, float]:
    """Connect, close the client's end first; tell its port and what connect() took: microseconds, passed and of CPU."""
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    client.connect(DESTINATION)
    wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
    port = client.getsockname()[1]
    peer, _address = server.accept()
    client.close()
    peer.close()
    return port, wall / 1000, cpu / 1000


def fill(server: socket.socket, ports: Sequence[int]) -> None:
    for port in ports:
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port << 16 | port))
        open_and_close(server, client)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def points(setting: Setting, samples: int) -> Iterator[dict[str, Any]]:
    """Measure at every step. Ends with an error where that took so long that the first ports came free again."""
    server = socket.create_server(DESTINATION, backlog=128)
    ports = in_kernel_order(setting.low, setting.high)
    taken: set[int] = set()
    begin = time.monotonic()
    for step in STEPS:
        wanted = round(len(ports) * step / 100)
        more = [port for port in ports[:wanted] if port not in taken][: max(0, wanted - len(taken))]
        fill(server, more)
        taken.update(more)
        if setting.reuse:
            time.sleep(REUSE_AFTER_SECONDS)
        blocked = len(taken)
        measured = [open_and_close(server, socket.socket()) for _sample in range(min(samples, len(ports) - blocked))]
        taken.update(port for port, _wall, _cpu in measured)
        if time.monotonic() - begin > TIME_WAIT_SECONDS - 2:
            sys.exit("Too slow: the first ports have left TIME_WAIT. Ask for fewer --samples, or on a quieter machine.")
        wall = [one[1] for one in measured]
        yield {
            "occupancy": round(100 * blocked / len(ports), 2),
            "median_us": round(statistics.median(wall), 1),
            "p99_us": round(percentile(wall, 0.99), 1),
            "cpu_us": round(statistics.median(one[2] for one in measured), 1),
        }


def measure(setting: Setting, samples: int) -> list[dict[str, Any]]:
    """The points of one setting, from a process in namespaces of its own."""
    sysctls = [f"--sysctl={key}={value}" for key, value in setting.sysctls.items()]
    inner = [sys.executable, __file__, "--samples", str(samples), "--inside", str(SETTINGS.index(setting))]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/private_namespaces.py"), *sysctls, "--", *inner],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Measure connect() against the share of ports in TIME_WAIT.")
    parser.add_argument("--samples", type=int, default=200, help="connections to measure at each step [200]")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to write the JSON")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside is not None:
        for point in points(SETTINGS[options.inside], options.samples):
            print(json.dumps(point), flush=True)
        return
    result = {
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "kernel": ".".join(platform.release().split("-")[0].split(".")[:2]),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "samples": options.samples,
        "curves": [{"name": one.name, "points": measure(one, options.samples)} for one in SETTINGS],
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    for curve in result["curves"]:
        print(f"{curve['name']}\n  %    median us   p99 us   CPU us")
        for point in curve["points"]:
            print("  {occupancy:5.1f} {median_us:9.1f} {p99_us:9.1f} {cpu_us:8.1f}".format(**point))


if __name__ == "__main__":
    main(sys.argv[1:])

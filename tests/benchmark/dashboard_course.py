# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real Prometheus answers to each query of the dashboard, while ports run out on one host after the other.

    python3 tests/benchmark/dashboard_course.py [--output FILE]

Three hosts of 500 ports, in private network namespaces: web1 runs out and is given more ports, web2 runs out last, web3
has an even load. Writes JSON, from which scripts/draw_images.py draws docs/images/dashboard.svg. About 80 s; needs what
tests/integration/monitoring_stack.py needs.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import errno
import json
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "benchmark" / "dashboard_course.json"
sys.path[:0] = [str(ROOT / one) for one in ("build", "tests", "scripts")]

PEER = "198.18.0.1"
# Port of the service, connections per second at first, how many more each second, and when it begins.
LOADS = {"web1": (5432, 6.0, 0.6, 0), "web2": (6379, 6.0, 0.6, 32), "web3": (443, 3.7, 0.0, 0)}
SECONDS, STEP_S, MOST = 74, 2, 60
CURED, CURED_AT_S = "web1", 42
CURE = {"ip_local_port_range": "10240 65535", "tcp_tw_reuse": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--load", nargs=4, type=float, metavar=("PORT", "RATE", "MORE", "AFTER"))
    options = parser.parse_args()
    if options.load:
        load(*options.load)
    else:
        options.output.write_text(
            json.dumps(record(), indent=None, separators=(",", ":")).replace("},{", "},\n{") + "\n"
        )


def record() -> dict[str, Any]:
    from dashboard_file import FILE, queries
    from integration.monitoring_stack import Stack
    from integration.private_host import private_hosts

    with tempfile.TemporaryDirectory() as directory, private_hosts(Path(directory), "watcher", *LOADS) as hosts:
        home, watcher = Path(directory), hosts.pop("watcher")
        directories = {name: home / name / "metrics" for name in hosts}
        for one in directories.values():
            one.mkdir()
        command = installed(home)
        stack = Stack(watcher, home, directories, home / "no_inventory")
        with stack.prometheus_alone(), contextlib.ExitStack() as running:
            for name, host in hosts.items():
                of_load = [*host.enter, sys.executable, __file__, "--load", *map(str, LOADS[name])]
                running.enter_context(process(of_load))
                running.enter_context(watched(host, name, command, directories[name]))
            start = time.time()
            time.sleep(CURED_AT_S)
            for key, value in CURE.items():
                hosts[CURED].write(Path("/proc/sys/net/ipv4", key), value)
            time.sleep(SECONDS - CURED_AT_S)
            asked = json.loads(FILE.read_text())
            answers = {
                query: stack.query(query, start + SECONDS, None if is_instant(asked, query) else (start, STEP_S))
                for query in queries(FILE.read_text())
            }
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    about = {"kernel": platform.release().partition("-")[0], "date": date, "seconds": SECONDS, "step": STEP_S}
    return {**about, "answers": {query: plain(answer, start) for query, answer in answers.items()}}


def is_instant(board: dict[str, Any], query: str) -> bool:
    targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
    return any(one.get("instant") for one in targets if one["expr"].replace("$host", ".*") == query)


def plain(answer: dict[str, Any], start: float) -> list[dict[str, Any]]:
    """Series by their labels: a value for each step, null where there is none; or one value."""
    assert answer["status"] == "success", answer
    found = []
    for series in answer["data"]["result"]:
        labels = {name: value for name, value in series["metric"].items() if name not in ("instance", "job")}
        if "value" in series:
            found.append({"labels": labels, "value": number(series["value"][1])})
        else:
            at = {round((when - start) / STEP_S): number(value) for when, value in series["values"]}
            found.append({"labels": labels, "values": [at.get(step) for step in range(SECONDS // STEP_S + 1)]})
    return sorted(found, key=lambda one: sorted(one["labels"].items()))


def number(text: str) -> float:
    return float(f"{float(text):.4g}")


def installed(home: Path) -> Path:
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.install import compiled
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

    file = home / "ephemeral-ports"
    application = build_application("_usage.watch.start", "1.0.0", sys.executable, "_usage.watch.bytecode")
    file.write_bytes(compiled(application, str(file), sys.executable))
    return file


@contextlib.contextmanager
def process(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command) as one:
        try:
            yield
        finally:
            one.terminate()


def watched(host: Any, name: str, command: Path, directory: Path) -> contextlib.AbstractContextManager[None]:
    """The host writes its metrics each second."""
    from integration.monitoring_stack import repeated

    start = "import sys; sys.path[:0] = [sys.argv.pop(1)]; import run_ephemeral_ports"
    arguments = ["--metrics", f"{directory}/ephemeral_ports.prom", "--label", f"inventory_hostname={name}"]
    return repeated(lambda: host.run(sys.executable, "-I", "-S", "-c", start, str(command), *arguments), seconds=1)


def load(port: float, rate: float, more: float, after: float) -> None:
    """Until it is ended. The client closes first, so that its port is in TIME_WAIT."""
    address = (PEER, int(port))
    server = socket.create_server(address, backlog=100)
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    time.sleep(after)
    start = following = time.monotonic()
    while True:
        time.sleep(max(0.0, following - time.monotonic()))
        following += 1 / min(MOST, rate + more * (following - start))
        try:
            socket.create_connection(address).close()
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise


def serve(server: socket.socket) -> None:
    while True:
        peer, _address = server.accept()
        threading.Thread(target=lambda peer=peer: (peer.recv(1), peer.close()), daemon=True).start()


if __name__ == "__main__":
    main()

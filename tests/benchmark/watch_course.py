# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What timewait_monitor writes while 500 ports run out under a rising load, and get free by what the plan sets.

    python3 tests/benchmark/watch_course.py [--output FILE]

Runs itself in private network namespaces (scripts/private_namespaces.py) and writes the metrics of each second as JSON,
from which scripts/draw_images.py draws docs/images/watch.svg. About a minute.
"""

from __future__ import annotations

import argparse
import datetime
import errno
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "benchmark" / "watch_course.json"

DESTINATION = ("198.18.0.1", 80)
FIRST_RATE, MORE_EACH_S, MOST = 6, 0.6, 60  # connections per second
SECONDS, CURED_AFTER_S = 50, 6  # of failing
CURE = {"ip_local_port_range": "10240 65535", "tcp_tw_reuse": "1"}
METRICS = (
    *("pool_saturation_ratio", "pool_level", "pool_exhausted_in_seconds", "pool_closed_per_second"),
    *("pool_usable_ports", "pool_blocked_ports", "pool_probe_errno"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if "INSIDE" not in os.environ:
        launcher = [sys.executable, ROOT / "scripts/private_namespaces.py", "--address=198.18.0.1"]
        launcher += ["--sysctl=net.ipv4.ip_local_port_range=32768 33267", "--", sys.executable, __file__]
        environment = {**os.environ, "INSIDE": "1"}
        done = subprocess.run(launcher, check=True, env=environment, stdout=subprocess.PIPE, text=True)
        options.output.write_text(done.stdout)
        return
    print(json.dumps(record(), indent=1))


def record() -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "build"))
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.run import run

    asked: dict[str, Any] = {
        "method": "auto",
        "detail": "auto",
        "max_pools": 10,
        "destination": "198.18.0.1:80",
        "probe": "auto",
        "warning_threshold": 0.4,
        "critical_threshold": 0.5,
        "namespaces": ["own"],
        "path": None,
        "state_dir": None,
    }
    check_options(asked)
    failed: list[float] = []
    end = threading.Event()
    server = socket.create_server(DESTINATION, backlog=100)
    threads = [
        threading.Thread(target=serve, args=(server,), daemon=True),
        threading.Thread(target=load, args=(failed, end)),
    ]
    for thread in threads:
        thread.start()
    start, seconds, cured = time.monotonic(), [], None
    for second in range(SECONDS):
        time.sleep(max(0.0, start + second - time.monotonic()))
        seconds.append({"second": second, **told(run(asked, True)), "failed": len(failed)})
        if failed and cured is None and time.monotonic() - failed[0] >= CURED_AFTER_S:
            cured = second
            for key, value in CURE.items():
                Path("/proc/sys/net/ipv4", key).write_text(value)
    end.set()
    threads[1].join()
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return {"kernel": platform.release().partition("-")[0], "date": date, "cured": cured, "seconds": seconds}


def told(usage: dict[str, Any]) -> dict[str, float | None]:
    """Of the one pool, by the name of the metric."""
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import metrics

    collected = metrics.Metrics()
    metrics.add_usage(collected, usage, 1)
    samples = {family.name: family.samples for family in collected.families()}
    return {name: samples[name][0].value if samples[name] else None for name in METRICS}


def serve(server: socket.socket) -> None:
    while True:
        peer, _address = server.accept()
        threading.Thread(target=lambda peer=peer: (peer.recv(1), peer.close()), daemon=True).start()


def load(failed: list[float], end: threading.Event) -> None:
    """The client closes first, so that its port is in TIME_WAIT."""
    start = following = time.monotonic()
    while not end.wait(max(0.0, following - time.monotonic())):
        following += 1 / min(MOST, FIRST_RATE + MORE_EACH_S * (following - start))
        try:
            socket.create_connection(DESTINATION).close()
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            failed.append(time.monotonic())


if __name__ == "__main__":
    main()

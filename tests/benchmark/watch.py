# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the timer of timewait_monitor costs, beside a start of Python that does nothing.

    python3 tests/benchmark/watch.py

Runs the command as the service does, in private namespaces: on a quiet host, whole, with 200 other network namespaces,
and with 250,000 sockets in TIME_WAIT. Prints a table in Markdown, and ends with 1 where a host on which nothing goes on
takes 0.1 % of one CPU or more with a run each 15 s, of which one in 60 is whole. Needs root, gcc, unshare(1),
and the module yaml for the version.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import namespaces
from namespaces import loaded
from observe import ROOT, build

INTERVAL_S, WHOLE_ONE_IN, ROUNDS = 15, 60, 21
MOST_SHARE = 0.001
namespaces.SOCKETS = 250_000
START = "import sys; sys.path[:0] = [sys.argv.pop(1)]; import run_ephemeral_ports"
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]


def install(file: Path) -> None:
    sys.path.insert(0, str(ROOT / "build"))
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.install import compiled
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

    application = build_application("_usage.watch.start", "1.0.0", PYTHON[0], "_usage.watch.bytecode")
    file.write_bytes(compiled(application, str(file), PYTHON[0]))


def milliseconds(command: Sequence[str | Path], forget: Path | None = None, rounds: int = ROUNDS) -> float:
    """CPU of one run, the median of some. forget: what is removed before each."""
    spent = []
    for _round in range(rounds):
        if forget:
            forget.unlink(missing_ok=True)
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        spent.append((usage.ru_utime + usage.ru_stime) * 1000)
    return statistics.median(spent)


def main() -> None:
    if "--inside" not in sys.argv:
        build()
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
        sys.exit(subprocess.run([*unshare, sys.executable, __file__, "--inside"], check=False).returncode)
    with tempfile.TemporaryDirectory() as directory:
        command, file, note = (Path(directory, name) for name in ("command", "a.prom", ".a.prom.holds"))
        install(command)
        run = [*PYTHON, START, command, "--metrics", file]
        every = [*run, "--namespaces", "all"]
        nothing = milliseconds([*PYTHON, "pass"])
        whole = milliseconds(run, forget=note)
        subprocess.run([*map(str, run)], check=True)
        quiet = milliseconds(run)
        with namespaces.namespaces(200):
            many = milliseconds(every, rounds=7)
        with loaded():
            busy = milliseconds(every, rounds=7)
    share = (quiet * (WHOLE_ONE_IN - 1) + whole) / WHOLE_ONE_IN / 1000 / INTERVAL_S
    print("| a run | CPU, ms | starts of Python | of one CPU, each 15 s |")
    print("|---|---:|---:|---:|")
    for name, cost in (
        ("Python that does nothing", nothing),
        ("quiet host", quiet),
        ("healthy host, whole", whole),
        ("200 other network namespaces", many),
        ("one of them with 250,000 sockets in TIME_WAIT", busy),
    ):
        print(f"| {name} | {cost:.1f} | {cost / nothing:.1f} | {cost / 10 / INTERVAL_S:.2f} % |")
    print(f"\nA quiet host, with one whole run in {WHOLE_ONE_IN}: {share * 100:.3f} % of one CPU")
    sys.exit(share >= MOST_SHARE)


if __name__ == "__main__":
    main()

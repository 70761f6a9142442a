# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run stages (make targets), all of them even when one fails, and say how each went and what it cost.

Each argument is a lane: its stages run one after the other, beside those of the other lanes. What a stage prints is in
build/logs/STAGE.log, and shown in one piece when it ends. This is more than `make --jobs --keep-going --output-sync`
only in that it orders stages without making one depend on the success of another, and in its last lines.

usage: python scripts/stages.py LANE...    for example: "lint types" integration "molecule mutate"
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "logs"
MAKE = os.environ.get("MAKE", "make")


class Stage(NamedTuple):
    """How a stage ended. cpu: what it and the programs that it waited for took of the processors."""

    name: str
    passed: bool
    seconds: float
    cpu: float


class Runner:
    def __init__(self) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.printing = threading.Lock()
        self.ended = False

    def run_lane(self, names: Sequence[str]) -> list[Stage]:
        return [self.run(name) for name in names if not self.ended]

    def run(self, name: str) -> Stage:
        log, start = LOGS / f"{name}.log", time.monotonic()
        self.show(f"--- {name} begins, see {log.relative_to(ROOT)}\n".encode())
        with log.open("wb") as output:
            command = [MAKE, "--no-print-directory", name]
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            self.running.add(process)
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.running.remove(process)
        seconds = time.monotonic() - start
        word = "passed" if process.returncode == 0 else "FAILED"
        self.show(f"\n=== {name}\n".encode(), log.read_bytes(), f"=== {name} {word} in {seconds:.0f} s\n".encode())
        return Stage(name, process.returncode == 0, seconds, usage.ru_utime + usage.ru_stime)

    def show(self, *texts: bytes) -> None:
        with self.printing:
            sys.stdout.buffer.write(b"".join(texts))
            sys.stdout.flush()

    def end(self, number: int, _frame: object) -> None:
        """Take all stages along when this is ended."""
        self.ended = True
        for process in [*self.running]:
            process.terminate()
        sys.exit(128 + number)


def summary(stages: Sequence[Stage], seconds: float) -> str:
    lines = [f"{one.name:<12} {one.seconds:>5.0f} s, of processors {one.cpu:>5.0f} s" for one in stages]
    passed = " ".join(one.name for one in stages if one.passed)
    failed = " ".join(one.name for one in stages if not one.passed)
    verdict = f"FAILED: {failed} (passed: {passed or 'none'})" if failed else f"PASSED: {passed}"
    return "\n".join(["", *lines, f"{verdict} in {seconds:.0f} s"])


def main(lanes: Sequence[str]) -> int:
    start = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    runner = Runner()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.end)
    with ThreadPoolExecutor(len(lanes)) as pool:
        stages = [stage for lane in pool.map(runner.run_lane, map(str.split, lanes)) for stage in lane]
    print(summary(stages, time.monotonic() - start))
    return 0 if all(stage.passed for stage in stages) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

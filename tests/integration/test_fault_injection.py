# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail every system call of the transaction in turn, and kill the process before and after each (faults.py)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from .faults import SCENARIOS
from .private_host import ROOT

AT_LEAST = 300
TALLY: dict[str, int] = {}


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_old_or_new_whatever_fails(name: str) -> None:
    """By interpreters that have imported nothing else: there is a fork for each fault, and it costs what it has."""
    path = os.pathsep.join([str(ROOT / "build"), str(ROOT / "scripts")])
    workers = os.cpu_count() or 1
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.faults", name, str(worker), str(workers)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for worker in range(workers)
    ]
    ended = [(process.communicate(), process.returncode) for process in started]
    errors = [said[1] for said, code in ended if code]
    if any("cannot make private namespaces" in error for error in errors):
        pytest.skip(errors[0])
    assert not errors, "\n".join(errors)
    results = [json.loads(said[0]) for said, _code in ended]
    violations = [words for _count, found in results for words in found]
    assert not violations, "\n".join([f"{len(violations)} violations", *violations[:8]])
    TALLY[name] = sum(count for count, _found in results)


def test_there_were_enough_faults(capsys: pytest.CaptureFixture[str]) -> None:
    if TALLY.keys() != SCENARIOS.keys():
        pytest.skip("not all scenarios ran and passed")
    with capsys.disabled():
        print(f"\n{sum(TALLY.values())} faults injected, 0 violations")
    assert sum(TALLY.values()) >= AT_LEAST

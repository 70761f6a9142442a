# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo keeps its promises, and says so when it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "demo.py"
REPORT = ROOT / "build" / "demo" / "report.json"
LOG = ROOT / "build" / "demo" / "ansible.log"


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT)]
    settings = {**os.environ, **environment}
    return subprocess.run(command, env=settings, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    return run()


def test_story_comes_true(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "\x1b" not in demo.stdout  # no colours in a pipe
    assert max(map(len, demo.stdout.splitlines())) <= 100
    assert "[DEPRECATION WARNING]" not in LOG.read_text()


@pytest.mark.usefixtures("demo")
def test_report_has_the_numbers() -> None:
    report = json.loads(REPORT.read_text())
    before, after = report["before"], report["after"]
    assert (before["attempted"], before["succeeded"], before["failed"]) == (1500, 500, 1000)
    assert [(e["curl_code"], e["errno"], e["count"]) for e in before["errors"]] == [(7, 99, 1000)]
    assert before["saturation"] == 1
    assert (after["attempted"], after["failed"], after["errors"]) == (1500, 0, [])
    assert after["saturation"] < 0.05
    assert {s["key"] for s in report["settings"] if s["action"] == "set"} == {
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_tw_reuse",
    }
    assert report["rolled_back"] is True
    assert report["second_run_changed"] is False


def test_diagnosis_names_the_destination(demo: subprocess.CompletedProcess[str]) -> None:
    assert "EXHAUSTED: no local port is left towards 198.18.0.1:8080: 500 of 500 are blocked." in demo.stdout


def test_wrong_claim_to_be_inside_is_not_believed() -> None:
    """Pretending to be inside starts the namespaces all the same: nothing runs on the machine itself."""
    ours = " ".join(str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt"))
    look = "print(runpy.run_path(sys.argv[1], run_name='demo')['is_inside']())"
    probe = f"import runpy, sys; sys.path.insert(0, sys.argv[1].rpartition('/')[0]); {look}"
    command = [sys.executable, "-c", probe, str(SCRIPT)]
    done = subprocess.run(command, env={**os.environ, "DEMO_OUTSIDE": ours}, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"

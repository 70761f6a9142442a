# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reason for each crash, by each ansible-core, with pipelining and without, by program and by module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import environments
import pytest

from ..cores import CORES, python_with
from ..private_host import ROOT
from .cases import CRASHES, OLDEST, Crash

HERE = Path(__file__).resolve().parent
HEALTHY = "healthy"
# An observation goes as a program, or, with this variable, as a module.
TRANSPORT = "ephemeral_ports_transport"
SETTINGS: dict[str, dict[str, object]] = {
    "with pipelining": {"ansible_pipelining": True},
    "with a terminal": {"ansible_pipelining": False},
    "as a module": {"ansible_pipelining": True, TRANSPORT: "module"},
}

# Inside the private namespaces; what it mounts goes with them.
INSIDE = """
set -e
mount -t tmpfs -o size=4k,nr_inodes=8 none "$1/full"
head -c 4096 /dev/zero > "$1/full/all"
mount -t tmpfs -o size=32k none "$1/small"
mount -t tmpfs -o ro none "$1/sealed"
cd "$1"
shift
exec "$@"
"""
PLAYS = [
    {"ansible.builtin.import_playbook": "netops.ephemeral_ports.diagnose"},
    {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.meta": "clear_host_errors"}]},
    {"ansible.builtin.import_playbook": "netops.ephemeral_ports.remediate"},
]


class Run(NamedTuple):
    """With an ansible-core: the hosts of the report by name, and all that was printed."""

    core: str
    piped: bool
    home: Path
    interpreters: dict[str, str]
    hosts: dict[str, dict[str, Any]]
    groups: list[dict[str, Any]]
    printed: str


@pytest.fixture(scope="module", params=[(core, how) for core in CORES for how in SETTINGS], ids="-".join)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    core, how = request.param
    python, home = python_with(core), tmp_path_factory.mktemp("crashes")
    inventory = _prepare(home, core, SETTINGS[how])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "EPHEMERAL_"))}
    environment = {
        **kept,
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection_plugins"),
        "ANSIBLE_FORKS": "4",
        "ANSIBLE_NOCOLOR": "1",
        "EPHEMERAL_PORTS_REPORT": str(home / "report"),
    }
    # Of a host that is not private, nothing may be changed: a prediction.
    play = [python, "-m", "ansible", "playbook", "site.json", "--inventory=inventory.json", "--check"]
    play.append("--extra-vars={ephemeral_ports_become: false}")
    private = [sys.executable, ROOT / "scripts" / "private_namespaces.py", "--", "sh", "-c", INSIDE, "sh", home]
    done = subprocess.run(
        [*private, *play],
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    report = home / "report" / "report.json"
    if "cannot make private namespaces" in done.stderr:
        pytest.skip(done.stderr)
    assert report.exists(), done.stdout + done.stderr
    whole = json.loads(report.read_text())
    interpreters = {name: str(variables["ansible_python_interpreter"]) for name, variables in inventory.items()}
    return Run(
        core,
        bool(SETTINGS[how]["ansible_pipelining"]),
        home,
        interpreters,
        {host["name"]: host for host in whole["hosts"]},
        whole["summary"]["lost"],
        done.stdout + done.stderr,
    )


def _prepare(home: Path, core: str, settings: dict[str, object]) -> dict[str, dict[str, Any]]:
    """Write what the run needs; the variables of each host."""
    for name in ("full", "small", "sealed", "broken"):
        (home / name).mkdir()
    (home / "broken" / "json.py").write_text("raise RuntimeError('this is another json')\n")
    _write_script(home / "not-in-sudoers", "echo 'deploy is not in the sudoers file.' >&2; exit 1")
    common: dict[str, Any] = {"ansible_connection": "crashing_host", "ansible_python_interpreter": "/usr/bin/python3"}
    common |= {**settings, "ansible_remote_tmp": str(home / ".ansible" / "tmp")}
    hosts = {HEALTHY: common}
    for number, crash in enumerate(CRASHES):
        name = f"host{number}"
        variables = {key: _filled(value, home=home, name=name) for key, value in crash.variables.items()}
        if crash.script:
            script = home / f"bin{number}" / "python3"
            script.parent.mkdir(parents=True)
            _write_script(script, _filled(crash.script, home=home))
            variables["ansible_python_interpreter"] = str(script)
        if crash.python:
            found = environments.find_python([crash.python])
            if found is None or core not in crash.cores:
                continue
            variables["ansible_python_interpreter"] = str(found)
        hosts[name] = {**common, **variables}
    (home / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (home / "site.json").write_text(json.dumps(PLAYS))
    return hosts


def _write_script(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else f"#!/bin/sh\n{text}\n".encode())
    path.chmod(0o755)


def _filled(text: Any, **places: object) -> Any:
    if isinstance(text, str):
        for name, place in places.items():
            text = text.replace(f"{{{name}}}", str(place))
    return text


@pytest.mark.parametrize("number", range(len(CRASHES)), ids=[crash.what for crash in CRASHES])
def test_the_reason(run: Run, number: int) -> None:
    crash, name = CRASHES[number], f"host{number}"
    if name not in run.hosts:
        pytest.skip(f"no Python {crash.python} on PATH or in pyenv, or ansible-core {run.core} takes it")
    expected = crash.piped if run.piped and crash.piped != "the same" else crash.reason
    reason = _reason(run.groups, name)
    if expected is None:
        assert reason is None
    else:
        places = {"python": run.interpreters[name], "home": run.home, "core": run.core, "oldest": OLDEST[run.core]}
        assert reason == _filled(expected, **places)


def _reason(groups: list[dict[str, Any]], name: str) -> str | None:
    """By which the report groups the host. Programs quote as the locale has it."""
    reason = next((group["reason"] for group in groups if name in group["names"]), None)
    return reason and str(reason).translate(str.maketrans("\u2018\u2019", "''"))


def test_a_host_without_a_fault_answers(run: Run) -> None:
    """Also through a terminal, which ends lines in its own way."""
    assert (run.hosts[HEALTHY]["error"], run.hosts[HEALTHY]["level"]) == (None, "ok")


def test_the_role_shows_all_that_was_printed(run: Run) -> None:
    assert "File " in run.printed
    assert "another json" in run.printed
    assert "Fatal Python error: init_fs_encoding" in run.printed
    assert "Shared connection to" not in run.printed


def rows() -> list[str]:
    return [_row(crash) for crash in CRASHES]


def _row(crash: Crash) -> str:
    python = crash.variables.get("ansible_python_interpreter", f"/usr/bin/python{crash.python or 3}")
    reason = _filled(crash.reason, home="/home/deploy", python=python, core="2.21", oldest=OLDEST["2.21"])
    return f"| {crash.what} | {reason} |"


def test_the_table_is_published() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert [line for line in page.splitlines() if line in rows()] == rows(), "\n".join(rows())

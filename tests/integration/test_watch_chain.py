# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a port that is not there to the host that has it again, through the programs that people have.

Only the timer is missing, which molecule/monitor has: here a thread runs the command.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import pytest
from dashboard_file import FILE, queries

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

from .monitoring_stack import TOKEN, Stack, programs, repeated, rulebook_environment, wait_for
from .private_host import FIXED, PLAIN, REUSE, STATE, Host, all_ports_taken, private_hosts, use_own_ansible

QUICK = {"timewait_rollout_soak": 1, "timewait_rollout_baseline": 0, "ephemeral_ports_become": False}


def watched(
    hosts: dict[str, Host], command: Path, directories: dict[str, Path]
) -> contextlib.AbstractContextManager[None]:
    """Each host writes its metrics, again and again, as by its timer."""

    def watch() -> None:
        for name, host in hosts.items():
            file = directories[name] / "ephemeral_ports.prom"
            label = f"inventory_hostname={name}"
            host.run(sys.executable, str(command), "--metrics", str(file), "--label", label, check=False)

    return repeated(watch, seconds=2)


def inventory(home: Path, hosts: dict[str, Host]) -> Path:
    file = home / "inventory.json"
    interpreters = {name: {"ansible_python_interpreter": str(host.python())} for name, host in hosts.items()}
    text = {"all": {"hosts": interpreters, "vars": {"ansible_connection": "local", **QUICK}}}
    file.write_text(json.dumps({**text}))
    return file


def alert(
    host: str, name: str = "EphemeralPortsExhausted", status: str = "firing", **more: object
) -> dict[str, object]:
    return {"status": status, "labels": {"alertname": name, "inventory_hostname": host}, **more}


def is_confirmed(host: Host) -> bool:
    journals = [json.loads(host.text(STATE / name) or "{}") for name in host.names(STATE) if name.endswith(".json")]
    return bool(journals) and all(one.get("trial", "?") is None for one in journals)


def test_an_alert_is_confirmed_and_cured_on_that_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_ansible(tmp_path, monkeypatch)
    assert programs()
    assert rulebook_environment()
    command = tmp_path / "ephemeral-ports"
    command.write_bytes(build_application("_usage.watch.start", "1.0.0", sys.executable))
    with private_hosts(tmp_path, "watcher", "web1", "web2") as hosts:
        watcher = hosts.pop("watcher")
        directories = {name: tmp_path / f"{name}.metrics" for name in hosts}
        for directory in directories.values():
            directory.mkdir()
        (tmp_path / "stack").mkdir()
        stack = Stack(watcher, tmp_path / "stack", directories, inventory(tmp_path, hosts))
        with watched(hosts, command, directories), stack.running():
            wait_for("the levels", lambda: stack.levels("web1") and stack.levels("web2"), stack.logs)
            assert not stack.alerts()

            assert stack.post(alert("web2"), token="guessed") == "401"
            # None of these may start anything, and what starts nothing delays nothing: the true alert comes after them.
            for hostile in (
                "all",
                "web*",
                "localhost,web2",
                "{{ lookup('pipe', 'touch harm') }}",
                "../web2",
                "web2\n",
                "",
            ):
                assert stack.post(alert(hostile)) == "200"
            assert stack.post(alert("web2", status="resolved"), alert("web2", name="Watchdog")) == "200"
            # Nothing is wrong on this one, whatever an alert says: it is diagnosed and left as it is.
            assert stack.post(alert("web2", meta={"hosts": "all"})) == "200"

            with all_ports_taken(hosts["web1"]) as busy:
                wait_for(
                    "the alert", lambda: any(one["inventory_hostname"] == "web1" for one in stack.alerts()), stack.logs
                )
                alerted = time.time()
                wait_for("the cure", lambda: hosts["web1"].sysctls()[REUSE] == FIXED[REUSE], stack.logs)
                wait_for("the end of the alert", lambda: not stack.alerts(), stack.logs)
                # Ended before that, the rollout would roll the host back.
                wait_for("the word of the gate", lambda: is_confirmed(hosts["web1"]), stack.logs)
                assert busy.stdin
                assert busy.stdout
                busy.stdin.write("\n")
                busy.stdin.flush()
                assert busy.stdout.readline() == "connected\n"

            answers = {query: stack.query(query, alerted) for query in queries(FILE.read_text())}
            assert {one["status"] for one in answers.values()} == {"success"}, answers
            assert sum(bool(one["data"]["result"]) for one in answers.values()) > len(answers) / 2, answers

            levels = stack.levels("web1")
            assert levels[0] == 0
            assert 3 in levels
            assert levels[-1] == 0
            assert {*stack.levels("web2")} == {0}
        said = stack.log("rulebook")
        assert hosts["web1"].sysctls() == FIXED
        assert hosts["web2"].sysctls() == PLAIN
        assert "UNREACHABLE" not in said
        assert TOKEN not in said
        assert not (tmp_path / "stack/harm").exists()

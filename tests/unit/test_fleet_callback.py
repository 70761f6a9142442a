# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback by itself; tests/integration has it in runs of ansible-playbook."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.callback import fleet_report

LOOK = "netops.ephemeral_ports.port_usage_info"
IDLE, EXHAUSTED = RECORDED["usage"]["idle"], RECORDED["usage"]["exhausted"]


class Display:
    columns = 100
    verbosity = 0

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def banner(self, text: str) -> None:
        self.lines.append(text)

    def display(self, text: str, stderr: bool = False, **_options: object) -> None:
        (self.errors if stderr else self.lines).append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def callback(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a play gives as directory is the play itself."""
    monkeypatch.setattr(fleet_report.CallbackModule, "_find_directory", lambda _self, play: play)
    monkeypatch.setattr(fleet_report.context, "CLIARGS", {})
    return fleet_report.CallbackModule(display=Display())


def tell(callback: Any, name: str, values: dict[str, Any]) -> None:
    task = SimpleNamespace(action=LOOK, check_mode=False)
    host = SimpleNamespace(get_name=lambda: name, get_vars=dict)
    callback.v2_playbook_on_task_start(task, is_conditional=False)
    callback.v2_runner_on_ok(SimpleNamespace(host=host, task=task, result=values))


def end(callback: Any) -> None:
    callback.v2_playbook_on_stats(SimpleNamespace(failures={}))


def test_a_later_play_without_a_directory_keeps_the_one_before(callback: Any, tmp_path: Path) -> None:
    callback.v2_playbook_on_play_start(str(tmp_path))
    tell(callback, "web1", IDLE)
    callback.v2_playbook_on_play_start(None)
    end(callback)
    assert (tmp_path / "report.json").exists()


def test_a_home_that_nobody_has_is_a_warning(callback: Any) -> None:
    callback.v2_playbook_on_play_start("~nosuchuser/x")
    tell(callback, "web1", IDLE)
    end(callback)
    (warning,) = callback._display.warnings
    assert warning == "The report could not be written to ~nosuchuser/x: Could not determine home directory."


DESTINATION = EXHAUSTED["pools"][0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"pools": [{}]}, "pools: kind is missing"),
        ({"pools": [{**DESTINATION, "rate": {}}]}, "pools.rate: last_1s is missing"),
        ({"pools": [{**DESTINATION, "saturation": float("nan")}]}, "pools.saturation: the number is out of all bounds"),
        ({"pools": [{**DESTINATION, "blocked": "many"}]}, "pools.blocked: expected a whole number, got 'many'"),
        ({"pools": None}, "pools: expected a list, got None"),
        ({"findings": [{"id": "x"}]}, "findings: severity is missing"),
        ({"kernel": {}}, "kernel: release is missing"),
        ({"port_range": {}}, "port_range: low is missing"),
    ],
)
def test_one_result_that_nobody_understands_costs_no_report(
    callback: Any, tmp_path: Path, wrong: dict[str, Any], why: str
) -> None:
    callback.v2_playbook_on_play_start(str(tmp_path))
    tell(callback, "web1", {**EXHAUSTED, **wrong})
    tell(callback, "web2", EXHAUSTED)
    end(callback)
    first, second = json.loads((tmp_path / "report.json").read_text())["hosts"]
    assert (first["state"], first["usage"], first["error"]) == ("failed", None, f"its result was not understood: {why}")
    assert (second["state"], second["usage"]) == ("observed", EXHAUSTED)
    assert "2 hosts: 1 exhausted, 1 unknown. In this run: 1 failed, 1 observed." in callback._display.lines
    assert {path.name for path in tmp_path.iterdir()} == {"report.csv", "report.html", "report.json"}


def test_results_that_stay_are_not_searched_for_cycles(callback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    callback.v2_playbook_on_play_start(None)
    frozen: list[int] = []
    monkeypatch.setattr(fleet_report._preload, "freeze", lambda: frozen.append(callback._heard))
    monkeypatch.setattr(fleet_report._preload, "load_for", lambda _action: None)
    for number in range(2 * fleet_report._FREEZE_EVERY + 1):
        tell(callback, f"web{number}", IDLE)
    assert frozen == [fleet_report._FREEZE_EVERY, 2 * fleet_report._FREEZE_EVERY]


def test_nothing_is_made_of_one_host_without_a_directory(callback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    callback.v2_playbook_on_play_start(None)
    tell(callback, "web1", IDLE)
    monkeypatch.delattr(fleet_report, "make_report")
    end(callback)
    assert callback._display.lines == []


@pytest.mark.parametrize(
    ("stdout_callback", "for_people"),
    [
        ("default", True),
        ("minimal", True),
        ("oneline", True),
        ("junit", False),
        ("tree", False),
        ("no.such.callback", False),
    ],
)
def test_programs_get_nothing_on_stdout_but_what_they_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stdout_callback: str, for_people: bool
) -> None:
    monkeypatch.setattr(fleet_report.C, "DEFAULT_STDOUT_CALLBACK", stdout_callback)
    monkeypatch.setattr(fleet_report.CallbackModule, "_find_directory", lambda _self, play: play)
    callback = fleet_report.CallbackModule(display=Display())
    callback.v2_playbook_on_play_start(str(tmp_path))
    tell(callback, "web1", IDLE)
    end(callback)
    told, silent = callback._display.lines, callback._display.errors
    told, silent = (told, silent) if for_people else (silent, told)
    assert told[0] == "EPHEMERAL PORTS"
    assert told[-1].startswith("Report: ")
    assert silent == []

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is loaded before there are workers, and what their tasks leave to be compiled."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _preload

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("action", "loaded"),
    [
        ("netops.ephemeral_ports.diagnosis", ["action.diagnosis"]),
        ("diagnosis", ["action.diagnosis"]),
        ("ansible.builtin.debug", ["filter.describe", "filter.remediation_plan"]),
        ("other.collection.diagnosis", ["filter.describe", "filter.remediation_plan"]),
    ],
)
def test_what_a_task_needs_is_loaded_before_its_workers(
    monkeypatch: pytest.MonkeyPatch, action: str, loaded: list[str]
) -> None:
    names: list[str] = []
    monkeypatch.setattr(_preload, "import_module", names.append)
    monkeypatch.setattr(_preload.gc, "freeze", lambda: None)
    _preload.load_for(action)
    assert names == [f"{_preload.PACKAGE}.{name}" for name in loaded]


def test_the_first_action_of_ours_loads_what_its_workers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no callback has."""
    done: list[str] = []
    monkeypatch.setattr(_preload, "load", lambda: done.append("load"))
    monkeypatch.setattr(_preload, "freeze", lambda: done.append("freeze"))
    name = f"{_preload.PACKAGE}.plugin_utils._again"
    spec = spec_from_file_location(name, _preload.PLUGINS / "plugin_utils" / "_host_action.py")
    assert spec
    assert spec.loader
    again = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, again)
    spec.loader.exec_module(again)
    assert done == ["load", "freeze"]


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.mark.parametrize("role", ["timewait_diagnose", "timewait_remediate"])
def test_a_task_for_each_host_has_no_template(role: str) -> None:
    (task,) = load(f"roles/{role}/tasks/main.yml")
    assert "{{" not in str(task)


def test_the_play_that_diagnoses_has_none_that_its_task_inherits() -> None:
    (play,) = load("playbooks/diagnose.yml")
    assert [name for name, value in play.items() if "{{" in str(value)] == ["hosts", "serial"]  # templated once

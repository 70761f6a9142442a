# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rollout_host and the role that consists of it; all else needs a host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.action.rollout_host import (
    _STEPS,
    ARGUMENTS,
    OWN_TEMPLATE,
    REMEDIATION,
)
from ansible_collections.netops.ephemeral_ports.plugins.modules import rollout_host, sysctl_dropin
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import (
    RolloutStep,
    StepResult,
    WaveVerdict,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan import read_policy

ROLES = Path(__file__).resolve().parents[2] / "roles"
ROLLOUT, REMEDIATE = ROLES / "timewait_rollout", ROLES / "timewait_remediate"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_every_option_is_documented() -> None:
    documented = yaml.safe_load(rollout_host.DOCUMENTATION)["options"]
    assert documented.keys() == ARGUMENTS.keys()
    for name, spec in ARGUMENTS.items():
        assert {key: documented[name].get(key) for key in spec} == spec, name


def test_every_field_of_a_result_is_documented() -> None:
    documented = yaml.safe_load(rollout_host.RETURN).keys()
    fields = {*StepResult.__annotations__, *WaveVerdict.__annotations__, "waves"}
    assert documented == fields - {"changed"}


def test_steps_of_a_host_are_those_of_the_model() -> None:
    assert {*_STEPS} == {*get_args(RolloutStep)}
    assert {*_STEPS, "check", "verdict"} == {*ARGUMENTS["step"]["choices"]}


def test_the_template_is_that_of_the_role() -> None:
    assert OWN_TEMPLATE.is_file()
    assert OWN_TEMPLATE.name == load(REMEDIATE / "defaults/main.yml")["timewait_remediate_template"]


def test_the_role_hands_over_every_input_of_timewait_remediate() -> None:
    inputs = {name.removeprefix("timewait_remediate_") for name in load(REMEDIATE / "defaults/main.yml")}
    handed = dict(re.findall(r"(\w+)=timewait_remediate_(\w+) \|", (ROLLOUT / "vars/main.yml").read_text()))
    assert all(option == variable for option, variable in handed.items())
    assert set(handed) == inputs - {"trial", "timeout"}
    assert set(REMEDIATION) - {"policy"} <= set(handed)


def test_what_is_not_set_has_the_default_of_timewait_remediate() -> None:
    defaults = {
        name.removeprefix("timewait_remediate_"): value
        for name, value in load(REMEDIATE / "defaults/main.yml").items()
    }  # fmt: skip
    for name in ("path", "on_conflict", "state_dir", "lock_timeout"):
        assert defaults.pop(name) == sysctl_dropin.ARGUMENTS[name]["default"]
    assert (defaults.pop("trial"), defaults.pop("template")) == (False, OWN_TEMPLATE.name)
    timeout = f"{{{{ timewait_remediate_timeout | default({defaults.pop('timeout')}) }}}}"
    assert {task["timeout"] for task in outcomes()} == {timeout}
    assert read_policy(defaults) == read_policy({})


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(ROLLOUT / "tasks" / f"{name}.yml")
    return found


@pytest.mark.parametrize(("name", "most"), [("observe", 4), ("wave", 10), ("rollback", 2)])
def test_the_tasks_can_be_taken_in_at_a_glance(name: str, most: int) -> None:
    assert len(tasks(name)) <= most
    assert not any(section in task for task in tasks(name) for section in ("block", "rescue", "always"))


def outcomes() -> list[dict[str, Any]]:
    """The tasks that register one."""
    found = [task for name in ("observe", "wave", "rollback") for task in tasks(name)]
    return [task for task in found if task.get("register") == "timewait_rollout_outcome"]


def test_no_task_that_registers_an_outcome_can_be_skipped() -> None:
    assert len(outcomes()) == 5
    assert [task["name"] for task in outcomes() if "when" in task] == []

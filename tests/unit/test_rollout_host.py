# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rollout_host and the role that consists of it; all else needs a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.action.rollout_host import (
    _STEPS,
    ARGUMENTS,
    NEEDED,
    OWN_TEMPLATE,
    REMEDIATION,
    ActionModule,
    Turn,
)
from ansible_collections.netops.ephemeral_ports.plugins.modules import rollout_host, sysctl_dropin
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import (
    RolloutStep,
    StepResult,
    WaveVerdict,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import read_policy
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._remediate import StepFailedError
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.outcome import LOST, begin
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._time_limit import OutOfTimeError

from .documented import options_of

ROLES = Path(__file__).resolve().parents[2] / "roles"
ROLLOUT, REMEDIATE = ROLES / "timewait_rollout", ROLES / "timewait_remediate"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_every_option_is_documented() -> None:
    documented = options_of(rollout_host)
    assert documented.keys() == ARGUMENTS.keys()
    for name, spec in ARGUMENTS.items():
        assert {key: documented[name].get(key) for key in spec} == spec, name


def test_every_field_of_a_result_is_documented() -> None:
    documented = yaml.safe_load(rollout_host.RETURN).keys()
    fields = {*StepResult.__annotations__, *WaveVerdict.__annotations__, "waves"}
    assert documented == fields - {"changed"}


def test_steps_of_a_host_are_those_of_the_model() -> None:
    assert {*_STEPS} == {*get_args(RolloutStep)}
    assert {*_STEPS, "check", "settle", "verdict"} == {*ARGUMENTS["step"]["choices"]}


def test_the_template_is_that_of_the_role() -> None:
    assert OWN_TEMPLATE.is_file()
    assert OWN_TEMPLATE.name == load(REMEDIATE / "defaults/main.yml")["timewait_remediate_template"]


def test_the_role_hands_over_every_input_of_timewait_remediate() -> None:
    inputs = {name.removeprefix("timewait_remediate_") for name in load(REMEDIATE / "defaults/main.yml")}
    handed = dict(re.findall(r"(\w+): timewait_remediate_(\w+)", (ROLLOUT / "vars/main.yml").read_text()))
    assert all(option == variable for option, variable in handed.items())
    assert set(handed) == inputs - {"trial", "rollback_keys"}
    assert set(REMEDIATION) - {"policy"} <= set(handed)


def test_what_is_not_set_has_the_default_of_timewait_remediate() -> None:
    defaults = {
        name.removeprefix("timewait_remediate_"): value
        for name, value in load(REMEDIATE / "defaults/main.yml").items()
    }  # fmt: skip
    for name in ("path", "on_conflict", "state_dir", "lock_timeout"):
        assert defaults.pop(name) == sysctl_dropin.ARGUMENTS[name]["default"]
    assert (defaults.pop("trial"), defaults.pop("template")) == (False, OWN_TEMPLATE.name)
    del defaults["rollback_keys"]
    assert defaults.pop("namespaces") == REMEDIATION["namespaces"]["default"]
    assert defaults.pop("on_refused") == REMEDIATION["on_refused"]["default"]
    assert defaults.pop("timeout") == ARGUMENTS["timeout"]["default"]
    assert read_policy(defaults) == read_policy({})


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(ROLLOUT / "tasks" / f"{name}.yml")
    return found


@pytest.mark.parametrize(("name", "most"), [("observe", 2), ("wave", 8), ("rollback", 1)])
def test_the_tasks_can_be_taken_in_at_a_glance(name: str, most: int) -> None:
    assert len(tasks(name)) <= most
    assert not any(section in task for task in tasks(name) for section in ("block", "rescue", "always"))


def outcomes() -> list[dict[str, Any]]:
    """The tasks that register one."""
    found = [task for name in ("observe", "wave", "rollback") for task in tasks(name)]
    return [task for task in found if task.get("register") == "timewait_rollout_outcome"]


def test_a_step_is_one_task_without_a_template() -> None:
    assert [task["name"] for task in outcomes() if "{{" in str(task)] == []
    assert {*NEEDED} == {*ARGUMENTS["step"]["choices"]}
    given = load(ROLLOUT / "vars/main.yml")["__timewait_rollout_variables"].keys()
    assert {option for needed in NEEDED.values() for option in needed} | {"timeout"} == {*given, "waves"}


def test_no_task_that_registers_an_outcome_can_be_skipped() -> None:
    assert len(outcomes()) == 5
    assert [task["name"] for task in outcomes() if "when" in task] == []


class TaskTimeoutError(BaseException):
    """As ansible-core has it."""


class Action(ActionModule):
    """On a host that answers like this. asked: the modules that were called."""

    def __init__(self, answer: object) -> None:
        self._task = SimpleNamespace(check_mode=False, timeout=300)
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []

    def prepare(self, task_vars: Mapping[str, Any]) -> None:
        pass

    def ask(self, module: str, arguments: Any, *_more: Any) -> Any:
        self.asked.append((module, arguments.get("state")))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


USAGE = RECORDED["usage"]["idle"]
PASSED, FAILED = {"wave": 1, "passed": True, "reason": None}, {"wave": 1, "passed": False, "reason": "b: it did."}
ROLLED_BACK = {"kind": "apply", "changed": True, "file": "removed", "settings": [{"key": "net.ipv4.tcp_tw_reuse"}]}


def take(
    step: RolloutStep, answer: object, so_far: Any = None, **options: Any
) -> tuple[Any, list[Any], dict[str, Any]]:
    """The result, what was asked for, and what ansible-core is told."""
    given = {
        "remediation": {},
        "limits": {},
        "wave": {"number": 1},
        "verdict": PASSED,
        "soak": None,
        "timeout": 300,
        **options,
    }
    told = {**begin("apply", check_mode=False), "state": "pending", **(so_far or {})}
    action, turn = Action(answer), Turn(given, {"timewait_rollout_outcome": told}, begin(step, check_mode=False))
    action._take(turn)
    return turn.result, action.asked, turn.of_the_task


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (AnsibleConnectionFailure("no route to host"), f"{LOST}."),
        (StepFailedError("no"), "no"),
        (TaskTimeoutError(), "it did not answer within 300 s"),
        (OutOfTimeError("it did not answer within 45 s"), "it did not answer within 45 s"),
        (KeyError("sysctls"), "its result makes no sense (KeyError: 'sysctls')"),
    ],
)
@pytest.mark.parametrize("step", ["apply", "judge"])
def test_whatever_goes_wrong_is_the_outcome_of_the_host(step: RolloutStep, failure: Exception, reason: str) -> None:
    result, asked, told = take(step, failure, {"first": USAGE, "before": USAGE, "wave": 1})
    assert asked == [("port_usage_info", None)]
    assert (result["state"], result["reason"], result["wave"], result["end"]) == ("failed", reason, 1, None)
    assert told == {}


def test_a_host_that_cannot_be_reached_to_be_rolled_back_is_unreachable() -> None:
    result, _asked, told = take("revert", AnsibleConnectionFailure("no route to host"), verdict=FAILED)
    assert told == {"unreachable": True, "msg": f"{LOST}."}
    assert result["end"] == "The rollout ends with wave 1, which was rolled back. b: it did."


def test_a_host_that_cannot_be_reached_at_first_leaves_the_rollout() -> None:
    with pytest.raises(AnsibleConnectionFailure):
        take("observe", AnsibleConnectionFailure("no route to host"))


def test_what_is_no_failure_of_a_host_is_not_caught() -> None:
    with pytest.raises(KeyboardInterrupt):
        take("apply", KeyboardInterrupt())


@pytest.mark.parametrize("state", ["unchanged", "changed", "failed", "rolled_back"])
def test_a_host_that_is_not_pending_is_not_changed(state: str) -> None:
    result, asked, _told = take("apply", StepFailedError("it was asked"), {"state": state})
    assert (result["state"], asked) == ("failed", [])
    assert f"a host that is {state} cannot" in result["reason"]


def test_a_host_of_a_wave_that_failed_is_not_judged() -> None:
    result, asked, _told = take("judge", StepFailedError("it was asked"), verdict=FAILED)
    assert (result["state"], asked) == ("pending", [])


def test_a_soak_that_was_broken_off_is_a_failure() -> None:
    result, asked, _told = take("judge", USAGE, soak={"failed": True, "msg": "user requested abort!"})
    assert (result["state"], result["reason"]) == ("failed", "the soak was broken off: user requested abort!")
    assert asked == []


@pytest.mark.parametrize(
    ("policy", "state", "status"),
    [({}, "failed", "failed"), ({"accept_risk": ["fewer_ports"]}, "changed", "unknown")],
)
def test_fewer_ports_pass_the_gate_where_the_policy_accepts_them(policy: Any, state: str, status: str) -> None:
    after = {**USAGE, "sysctls": {**USAGE["sysctls"], "net.ipv4.ip_local_reserved_ports": "32768-32777"}}
    result, _asked, _told = take("judge", after, {"first": USAGE, "before": USAGE}, remediation={"policy": policy})
    checks = {check["id"]: check["status"] for check in result["gate"]["checks"]}
    assert (result["state"], checks["usable-ports"]) == (state, status), result["reason"]


def test_a_confirmation_that_fails_ends_the_rollout_and_leaves_the_change_on_trial() -> None:
    result, asked, _told = take("confirm", StepFailedError("no"), {"state": "changed"})
    assert asked == [("sysctl_dropin", "confirmed")]
    assert result["end"] == (
        "The rollout ends with wave 1: the change could not be confirmed and is still on trial: no"
    )


@pytest.mark.parametrize("so_far", [{}, {"state": "changed"}, {"state": "failed", "reason": "own"}, {"state": "odd"}])
def test_what_is_on_trial_is_rolled_back_whatever_is_known_of_the_host(so_far: dict[str, str]) -> None:
    result, asked, _told = take("revert", ROLLED_BACK, so_far, verdict=FAILED)
    assert asked == [("sysctl_dropin", "absent")]
    assert (result["state"], result["reason"]) == ("rolled_back", so_far.get("reason", "b: it did."))


def test_where_nothing_is_on_trial_nothing_is_rolled_back() -> None:
    nothing = {**ROLLED_BACK, "changed": False, "settings": []}
    result, _asked, _told = take("revert", nothing, {"state": "failed", "reason": "own"}, verdict=FAILED)
    assert (result["state"], result["reason"]) == ("failed", "own")


def test_without_an_outcome_no_step_goes_on() -> None:
    result, asked, _told = take("confirm", ROLLED_BACK, {"state": "odd"})
    assert (result["state"], asked) == ("failed", [])
    assert "register every step as timewait_rollout_outcome" in result["reason"]

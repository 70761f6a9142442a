# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action rollout_host: a step of a rollout on a host, which returns what has become of the host so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._sockets.known import OWN
from ..plugin_utils import _border
from ..plugin_utils._host_action import TIMEOUT, VARIABLES, Result, failed
from ..plugin_utils._model import ApplyResult, Plan, StepResult, Usage
from ..plugin_utils._options import Options, Spec
from ..plugin_utils._plan.policy import FEWER_PORTS, read_policy
from ..plugin_utils._remediate import OF_THE_TASK, OPTIONS, RemediatingAction, StepFailedError
from ..plugin_utils._rollout import outcome
from ..plugin_utils._rollout.gate import Usages, judge, read_limits
from ..plugin_utils._rollout.waves import read_waves
from ..plugin_utils._time_limit import OutOfTimeError, within

ARGUMENTS: Spec = {
    "step": {
        "type": "str",
        "choices": ["check", "observe", "apply", "verdict", "judge", "settle", "confirm", "revert"],
        "required": True,
    },
    "remediation": {"type": "dict", "default": {}},
    "limits": {"type": "dict", "default": {}},
    "wave": {"type": "dict"},
    "verdict": {"type": "dict"},
    "soak": {"type": "dict"},
    "waves": {"type": "raw"},
    TIMEOUT: {"type": "int", "default": 300},
    VARIABLES: {"type": "raw", "default": {}},
}
KNOWN = Options(ARGUMENTS)
REMEDIATION: Spec = {name: spec for name, spec in OPTIONS.items() if name != "trial"}
KNOWN_REMEDIATION = Options(REMEDIATION)
# What each step reads from variables, besides the time limit.
NEEDED: Mapping[str, Sequence[str]] = {
    "check": ("waves",),
    "observe": ("remediation", "limits"),
    "apply": ("remediation", "wave"),
    "verdict": ("wave",),
    "judge": ("remediation", "limits", "verdict", "soak"),
    "settle": ("remediation", "verdict"),
    "confirm": ("remediation", "verdict"),
    "revert": ("remediation",),
}
# Where what became of a host decides whether it stays in the play.
ENDING = ("observe", "confirm", "revert")
GROUP = "timewait_rollout_{state}"
# The steps after which a host is where the user wants to know of it.
TOLD = ("observe", "confirm", "revert")
OF_THE_DROPIN = ("path", "state_dir", "lock_timeout")
OWN_TEMPLATE = Path(__file__).parents[2] / "roles/timewait_remediate/templates/99-zz-ephemeral-ports.conf.j2"

# What a host can lead to by a result that has the right types and makes no sense.
FAILURES = (AnsibleError, ArithmeticError, LookupError, StepFailedError, TypeError, ValueError)


@dataclass
class Turn:
    """A step on a host. of_the_task: what ansible-core acts on in the result of a task."""

    options: Result
    variables: Result
    result: StepResult
    remediation: Result = field(default_factory=dict)
    of_the_task: Result = field(default_factory=dict)


class ActionModule(RemediatingAction):
    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        variables = task_vars or {}
        options = self.read_options(KNOWN, self.given(variables))
        if options["step"] == "check":
            return _check(options)
        if options["step"] == "verdict":
            return dict(wrap_var(_verdict(options, variables)))
        if options["step"] == "settle":
            options["step"] = "confirm" if options["verdict"]["passed"] else "revert"
        turn = Turn(options, variables, outcome.begin(options["step"], bool(self._task.check_mode)))
        self._take(turn)
        # Where no wave has its verdict, the play fails with the reason of a host that failed.
        if options["step"] in TOLD and (options["verdict"] or turn.result["state"] != "failed"):
            self.tell(turn.result, variables)
        reason = _why_it_leaves(turn)
        if reason:
            return dict(wrap_var(failed(reason, dict(turn.result), turn.of_the_task)))
        grouped = self._group(turn.result["state"], variables) if options["step"] == "observe" else {}
        return dict(wrap_var({**turn.result, **turn.of_the_task, **grouped}))

    def needs(self, option: str) -> bool:
        return option == TIMEOUT or option in NEEDED.get(self._task.args.get("step"), ())

    def _group(self, state: str, variables: Result) -> Result:
        """By group_by, which knows what this ansible-core wants for it; what it wants in the result of a task."""
        task = self._task.copy()
        task.args = {"key": GROUP.format(state=state)}
        group_by = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.group_by",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        done = group_by.run(task_vars=variables)
        return {name: done[name] for name in ("add_group", "parent_groups")}

    def _take(self, turn: Turn) -> None:
        """Never fails, and never raises for what a host says or does: the outcome tells."""
        step = turn.result["step"]
        try:
            turn.result = _go_on(turn.result, turn.variables)
            self.prepare(turn.variables)
            turn.remediation = self._read_remediation(turn.options["remediation"])
            with within(turn.options[TIMEOUT]):
                _STEPS[step](self, turn)
        except AnsibleConnectionFailure:
            if step == "observe":
                raise
            outcome.move(turn.result, "failed", f"{outcome.LOST}.")
            if step == "revert":
                turn.result = outcome.without_evidence(turn.result)  # ansible-core prints all of such a result
                turn.of_the_task |= {"unreachable": True, "msg": turn.result["reason"]}
        except FAILURES as error:
            outcome.move(turn.result, "failed", f"{_WHAT_FAILED.get(step, '')}{_in_words(error)}")
            turn.of_the_task |= getattr(error, "of_a_crash", {})
        except OutOfTimeError as error:
            outcome.move(turn.result, "failed", str(error))
        except BaseException as error:
            if type(error).__name__ != "TaskTimeoutError":  # ansible-core has it in another place in each version
                raise
            outcome.move(turn.result, "failed", f"it did not answer within {self._task.timeout} s")
        turn.result["end"] = outcome.end(turn.result, turn.options["verdict"])

    def _read_remediation(self, given: Mapping[str, Any]) -> Result:
        options = self.read_options(KNOWN_REMEDIATION, _given({**given, "policy": _given(given.get("policy"))}))
        if any(name != OWN for name in options["namespaces"]):
            raise AnsibleActionFail(
                "namespaces: a rollout sets no other network namespaces, for its gate does not judge them, and nothing "
                "there can be on trial; leave them out (timewait_remediate_namespaces: []), and set them by the "
                "playbook remediate"
            )
        return {**options, "template": options["template"] or str(OWN_TEMPLATE), "trial": True}

    def _observe(self, turn: Turn) -> None:
        read_limits(turn.options["limits"])
        in_check_mode, self._task.check_mode = self._task.check_mode, True
        try:
            usage, plan, predicted = self._remediate(turn, "first")
        finally:
            self._task.check_mode = in_check_mode  # what the task is taken for, by whoever reports on it
        outcome.classify(turn.result, usage, plan, predicted)

    def _apply(self, turn: Turn) -> None:
        outcome.check_move(turn.result["state"], "applied")
        turn.result["wave"] = int(turn.options["wave"]["number"])
        if self._task.check_mode:
            return
        self._remediate(turn, "before")
        outcome.move(turn.result, "applied", turn.result["reason"])

    def _remediate(self, turn: Turn, when: Literal["first", "before"]) -> tuple[Usage, Plan, ApplyResult | None]:
        """What was found and done is told even where something fails after it."""
        done: Result = {"usage": None, "plan": None, "applied": None, "changed": False}
        try:
            self.remediate(done, turn.remediation, turn.variables)
        finally:
            turn.result[when], turn.result["plan"] = done["usage"], done["plan"]
            turn.result["applied"] = done["applied"]
            # A prediction in a run that is not one of check mode has changed nothing.
            turn.result["changed"] = done["changed"] and turn.result["check_mode"] == bool(self._task.check_mode)
            turn.of_the_task |= {name: done[name] for name in OF_THE_TASK if name in done}
        return done["usage"], done["plan"], done["applied"]

    def _judge(self, turn: Turn) -> None:
        if self._task.check_mode or not turn.options["verdict"]["passed"]:
            return
        soak, result = turn.options["soak"] or {}, turn.result
        if soak.get("failed"):
            raise StepFailedError(f"the soak was broken off: {soak.get('msg')}")
        if result["first"] is None or result["before"] is None:
            raise StepFailedError("the steps observe and apply come first")
        accepted = read_policy(turn.remediation["policy"]).accept_risk
        limits = replace(read_limits(turn.options["limits"]), fewer_ports_allowed=FEWER_PORTS in accepted)
        everything = {"detail": "full"}
        after = result["after"] = self.ask("port_usage_info", everything, Usage, turn.of_the_task, turn.variables)
        usages = Usages(result["first"], result["before"], after)
        outcome.judged(result, judge(usages, result["applied"], limits, result["not_curable"]))

    def _confirm(self, turn: Turn) -> None:
        if self._task.check_mode:
            return
        outcome.check_move(turn.result["state"], "confirmed")
        self._dropin(turn, state="confirmed")
        outcome.move(turn.result, "confirmed", turn.result["reason"])

    def _revert(self, turn: Turn) -> None:
        result = turn.result
        reverted = result["reverted"] = self._dropin(turn, state="absent", trial=True)
        result["changed"] = reverted["changed"]
        if reverted["settings"]:
            own = result["reason"] if result["state"] == "failed" else None
            outcome.move(result, "rolled_back", own or (turn.options["verdict"] or {}).get("reason"))

    def _dropin(self, turn: Turn, **arguments: object) -> ApplyResult:
        known = {name: turn.remediation[name] for name in OF_THE_DROPIN if turn.remediation[name] is not None}
        return self.ask("sysctl_dropin", {**known, **arguments}, ApplyResult, turn.of_the_task, turn.variables)


Step = Callable[[ActionModule, Turn], None]
_STEPS: Mapping[str, Step] = {
    "observe": ActionModule._observe,
    "apply": ActionModule._apply,
    "judge": ActionModule._judge,
    "confirm": ActionModule._confirm,
    "revert": ActionModule._revert,
}
_WHAT_FAILED = {
    "confirm": "the change could not be confirmed and is still on trial: ",
    "revert": "the change could not be rolled back: ",
}


def _given(options: Any) -> Any:  # noqa: ANN401 - whatever somebody gave
    """Without what is None."""
    return {name: one for name, one in options.items() if one is not None} if isinstance(options, Mapping) else options


def _why_it_leaves(turn: Turn) -> str | None:
    """Why the task fails, None where it does not."""
    result = turn.result
    if result["step"] not in ENDING or turn.of_the_task.get("unreachable"):
        return None
    if turn.options["verdict"]:
        return result["end"]
    return result["reason"] if result["state"] == "failed" else None


def _check(options: Result) -> Result:
    """Raises AnsibleActionFail for sizes of waves that Ansible cannot use."""
    try:
        return {"changed": False, "waves": read_waves(options["waves"])}
    except ValueError as error:
        raise AnsibleActionFail(f"ephemeral_ports_waves: {error}") from error


def _verdict(options: Result, variables: Result) -> Result:
    """On the wave, from what its hosts have told. Never raises for that."""
    wave, hostvars = options["wave"], variables["hostvars"]
    outcomes = {str(host): _told(hostvars.raw_get(host)) for host in wave["hosts"]}
    alive = [str(host) for host in variables["ansible_play_batch"]]
    return {"changed": False, **outcome.wave_verdict(int(wave["number"]), outcomes, alive)}


def _told(variables: Mapping[str, Any]) -> outcome.Told | None:
    try:
        return _border.parse(outcome.Told, variables.get(outcome.VARIABLE))
    except _border.NotUnderstoodError:
        return None


def _go_on(result: StepResult, variables: Result) -> StepResult:
    """From what the steps before have found. Raises ValueError where that is missing."""
    step, told = result["step"], variables.get(outcome.VARIABLE)
    if step == "observe":
        return result
    try:
        so_far = _border.parse(StepResult, told)
    except _border.NotUnderstoodError as error:
        if step == "revert":
            return result  # what is on trial is rolled back, whatever is known of the host
        raise ValueError(f"register every step as {outcome.VARIABLE}; what is there has no outcome: {error}") from error
    return {**so_far, "step": step, "changed": False, "check_mode": result["check_mode"], "end": None}


def _in_words(error: BaseException) -> str:
    """Exceptions that are bugs, or results that make no sense, have a name and few words."""
    known = isinstance(error, (AnsibleError, StepFailedError, ValueError))
    return str(error) if known else f"its result makes no sense ({type(error).__name__}: {error})"

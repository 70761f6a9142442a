# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action remediation: observe a host, decide, render and apply, in one process on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._errors import OptionError
from ..module_utils._module import refuse_booleans
from ..plugin_utils import _border, _plan, _template
from ..plugin_utils._host_action import OUTPUT, HostAction, Result
from ..plugin_utils._model import ApplyResult, Plan, Usage

T = TypeVar("T")

ARGUMENTS: dict[str, dict[str, Any]] = {
    "policy": {"type": "dict", "default": {}},
    "template": {"type": "str", "required": True},
    "on_error": {"type": "str", "choices": ["fail", "return"], "default": "fail"},
    "path": {"type": "str"},
    "on_conflict": {"type": "str", "choices": ["fail", "warn", "ignore"]},
    "state_dir": {"type": "str"},
    "lock_timeout": {"type": "int"},
    "trial": {"type": "bool"},
}
DROPIN_OPTIONS = ("path", "on_conflict", "state_dir", "lock_timeout", "trial")

# What ansible-core acts on in the result of a task.
OF_THE_TASK = ("ansible_facts", "diff", "warnings")


class StepFailedError(Exception):
    """A step has failed, with the reason, and what it printed where it crashed."""

    def __init__(self, reason: str, of_a_crash: Result | None = None) -> None:
        super().__init__(_border.clean(reason, OUTPUT))
        self.of_a_crash = of_a_crash or {}


class ActionModule(HostAction):
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        variables = task_vars or {}
        self.prepare(variables)
        options = self._options()
        result: Result = dict.fromkeys(("usage", "plan", "applied", "error"))
        result |= {"kind": "remediation", "changed": False, "check_mode": bool(self._task.check_mode)}
        try:
            self._remediate(result, options, variables)
        except StepFailedError as failure:
            reason = wrap_var(str(failure))
            if options["on_error"] == "fail":
                of_the_task = {name: result[name] for name in OF_THE_TASK if name in result}
                return {**of_the_task, **failure.of_a_crash, "failed": True, "msg": reason}
            result |= {**failure.of_a_crash, "error": reason}
        return result

    def _options(self) -> Result:
        """Raises AnsibleActionFail for an option that cannot be used, before any host is observed."""
        try:
            refuse_booleans(ARGUMENTS, self._task.args)
            _validated, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
            _plan.read_policy(options["policy"])
        except OptionError as error:
            raise AnsibleActionFail(str(error)) from error
        except ValueError as error:
            raise AnsibleActionFail(f"policy: {error}") from error
        return dict(options)

    def _remediate(self, result: Result, options: Result, task_vars: Result) -> None:
        """Fill the result step by step. Raises StepFailedError."""
        everything = {"detail": "full", "max_pools": 1}
        usage = result["usage"] = self._step("port_usage_info", everything, Usage, result, task_vars)
        try:
            plan = result["plan"] = wrap_var(_plan.make_plan(usage, options["policy"]))
        except ValueError as error:
            raise StepFailedError(str(error)) from error
        if not plan["dropin"]:
            return
        text = self._render(options["template"], plan, task_vars)
        dropin = {"content": text, **{name: options[name] for name in DROPIN_OPTIONS if options[name] is not None}}
        applied = result["applied"] = self._step("sysctl_dropin", dropin, ApplyResult, result, task_vars)
        result["changed"] = applied["changed"]
        broken = _plan.broken_promises(plan, applied)
        if broken:
            raise StepFailedError(f"what was applied is not what was planned: {'; '.join(broken)}")

    def _step(self, module: str, arguments: Result, kind: type[T], result: Result, task_vars: Result) -> T:
        """What a module returned. Raises StepFailedError."""
        answer = self.call(module, arguments, kind, task_vars)
        for name, value in answer.of_the_task.items():
            result[name] = _together(result.get(name), value)
        if answer.error is not None or answer.result is None:
            raise StepFailedError(answer.error or "no result", answer.of_a_crash)
        return answer.result

    def _render(self, template: str, plan: Plan, task_vars: Mapping[str, Any]) -> str:
        """As lookup('ansible.builtin.template', ...) does in a playbook: same places, same variables.

        Raises StepFailedError. What hosts have said is in the plan: it is never taken for a template itself.
        """
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        try:
            found = lookup.find_file_in_search_path(task_vars, "templates", template)
            if found is None:
                raise StepFailedError(f"template {template}: could not locate file in lookup: {template}")
            _template.check_source(Path(found), _template.said_by_hosts(task_vars))
            (text,) = lookup.run([found], variables={**task_vars, "remediation_plan": wrap_var(plan)})
            _template.check_text(text, plan)
        except AnsibleError as error:
            raise StepFailedError(f"template {template}: {error}") from error
        except ValueError as error:
            raise StepFailedError(f"template {template} {error}") from error
        return str(text)


def _together(before: Any, now: Any) -> Any:  # noqa: ANN401 - lists of whatever ansible-core has, or facts
    """What two modules have said, each thing once."""
    if isinstance(now, dict):
        return {**(before or {}), **now}
    return [*(before or []), *(one for one in now if one not in (before or []))]

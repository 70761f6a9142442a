# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action remediation: look at a host, decide, render and apply, in one process on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._arguments import OptionError, refuse_booleans
from ..plugin_utils import _plan
from ..plugin_utils._task_result import reason_given

COLLECTION = "netops.ephemeral_ports"
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
# What ansible-core acts on in the result of a task, and there only.
OF_THE_TASK = ("ansible_facts", "deprecations", "diff", "warnings")
# Why a module that crashed did so.
OF_A_CRASH = ("module_stderr", "module_stdout")

Result = dict[str, Any]


class StepFailedError(Exception):
    """A step has failed; result is all that it said."""

    def __init__(self, result: Result) -> None:
        super().__init__(reason_given(result))
        self.result = result


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        options = self._options()
        result: Result = dict.fromkeys(("usage", "plan", "applied", "error"))
        result |= {"changed": False, "check_mode": bool(self._task.check_mode)}
        try:
            self._remediate(result, options, task_vars or {})
        except StepFailedError as failure:
            if options["on_error"] == "fail":
                return {**{name: result[name] for name in OF_THE_TASK if name in result}, **failure.result}
            result["error"] = str(failure)
            result |= {name: failure.result[name] for name in OF_A_CRASH if name in failure.result}
        return result

    def _options(self) -> Result:
        """Raises AnsibleActionFail for an option that cannot be used, before any host is looked at."""
        try:
            refuse_booleans(ARGUMENTS, self._task.args)
            _validated, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
            _plan.read_policy(options["policy"])
        except OptionError as error:
            raise AnsibleActionFail(str(error)) from error
        except ValueError as error:
            raise AnsibleActionFail(f"policy: {error}") from error
        return dict(options)

    def _remediate(self, result: Result, options: Result, task_vars: dict[str, Any]) -> None:
        """Fill the result step by step. Raises StepFailedError."""
        look = {"detail": "full", "max_pools": 1}
        usage = result["usage"] = self._call("port_usage_info", look, result, task_vars)
        try:
            plan = result["plan"] = _plan.make_plan(usage, options["policy"])
        except ValueError as error:
            raise StepFailedError({"failed": True, "msg": str(error)}) from error
        if not plan["dropin"]:
            result["applied"] = {"changed": False, "skipped": True}
            return
        dropin = {name: options[name] for name in DROPIN_OPTIONS if options[name] is not None}
        dropin["content"] = self._render(options["template"], plan, task_vars)
        applied = result["applied"] = self._call("sysctl_dropin", dropin, result, task_vars)
        result["changed"] = applied["changed"]

    def _call(self, module: str, arguments: Result, result: Result, task_vars: dict[str, Any]) -> Result:
        """What a module returned, without what belongs to the task. Raises StepFailedError."""
        returned: Result = self._execute_module(f"{COLLECTION}.{module}", arguments, task_vars=task_vars)
        for name in OF_THE_TASK:
            if returned.get(name):
                result[name] = _together(result.get(name), returned[name])
        if returned.get("failed"):
            raise StepFailedError(returned)
        return {name: value for name, value in returned.items() if _is_of_the_module(name)}

    def _render(self, template: str, plan: Mapping[str, Any], task_vars: Mapping[str, Any]) -> str:
        """As lookup('ansible.builtin.template', ...) does in a playbook: same places, same variables.

        Raises StepFailedError. What hosts have said is in the plan: it is never taken for a template itself.
        """
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        try:
            (text,) = lookup.run([template], variables={**task_vars, "remediation_plan": wrap_var(plan)})
        except AnsibleError as error:
            raise StepFailedError({"failed": True, "msg": f"template {template}: {error}"}) from error
        if not isinstance(text, str):
            raise StepFailedError({"failed": True, "msg": f"template {template} gives {text!r:.60}, which is no text"})
        return text


def _together(before: Any, now: Any) -> Any:  # noqa: ANN401 - lists of whatever ansible-core has, or facts
    """What two modules have said, each thing once."""
    if isinstance(now, dict):
        return {**(before or {}), **now}
    return [*(before or []), *(one for one in now if one not in (before or []))]


def _is_of_the_module(name: str) -> bool:
    return not name.startswith("_ansible") and name not in (*OF_THE_TASK, "invocation")

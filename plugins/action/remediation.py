# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action remediation: look at a host, decide, render and apply, in one process on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ..plugin_utils import _plan
from ..plugin_utils._failure import reason_given

COLLECTION = "netops.ephemeral_ports"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "policy": {"type": "dict", "default": {}},
    "template": {"type": "str", "required": True},
    "on_error": {"type": "str", "choices": ["fail", "return"], "default": "fail"},
    "path": {"type": "str"},
    "on_conflict": {"type": "str", "choices": ["fail", "warn", "ignore"]},
    "state_dir": {"type": "str"},
    "lock_timeout": {"type": "raw"},  # sysctl_dropin tells a number from a boolean
    "trial": {"type": "bool"},
}
OF_THE_DROPIN = ("path", "on_conflict", "state_dir", "lock_timeout", "trial")
# What ansible-core makes of these it makes of the result of a task, so they have to stand there.
OF_THE_TASK = ("ansible_facts", "deprecations", "diff", "warnings")

Result = dict[str, Any]


class ModuleFailedError(Exception):
    """A module has failed; result is all that it said."""

    def __init__(self, result: Result) -> None:
        super().__init__(reason_given(result))
        self.result = result


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        _validated, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            _plan.read_policy(options["policy"])
        except ValueError as error:
            raise AnsibleActionFail(f"policy: {error}") from error
        result: Result = dict.fromkeys(("usage", "plan", "applied", "error"))
        result |= {"changed": False, "check_mode": bool(self._task.check_mode)}
        try:
            self._remediate(result, options, task_vars or {})
        except ModuleFailedError as failure:
            if options["on_error"] == "fail":
                return failure.result
            result["error"] = str(failure)
        return result

    def _remediate(self, result: Result, options: Result, task_vars: dict[str, Any]) -> None:
        """Fill the result step by step. Raises ModuleFailedError."""
        look = {"detail": "full", "max_destinations": 1}
        usage = result["usage"] = self._call("port_usage_info", look, result, task_vars)
        try:
            plan = result["plan"] = _plan.make_plan(usage, options["policy"])
        except ValueError as error:
            raise ModuleFailedError({"failed": True, "msg": str(error)}) from error
        if not plan["dropin"]:
            result["applied"] = {"changed": False, "skipped": True}
            return
        dropin = {name: options[name] for name in OF_THE_DROPIN if options[name] is not None}
        dropin["content"] = self._render(options["template"], plan, task_vars)
        applied = result["applied"] = self._call("sysctl_dropin", dropin, result, task_vars)
        result["changed"] = applied["changed"]

    def _call(self, module: str, arguments: Result, result: Result, task_vars: dict[str, Any]) -> Result:
        """What a module returned, without what belongs to the task. Raises ModuleFailedError."""
        returned = self._execute_module(f"{COLLECTION}.{module}", arguments, task_vars=task_vars)
        if returned.get("failed"):
            raise ModuleFailedError(returned)
        for name in OF_THE_TASK:
            if returned.get(name):
                result[name] = returned[name]
        return {name: value for name, value in returned.items() if _is_of_the_module(name)}

    def _render(self, template: str, plan: Mapping[str, Any], task_vars: Mapping[str, Any]) -> str:
        """As lookup('ansible.builtin.template', ...) does in a playbook: same places, same variables."""
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        return "".join(lookup.run([template], variables={**task_vars, "remediation_plan": plan}))


def _is_of_the_module(name: str) -> bool:
    return not name.startswith("_ansible") and name not in ("invocation", "ansible_facts", "deprecations", "diff")

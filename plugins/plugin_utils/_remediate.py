# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that remediate a host share: observe, decide, render and apply, in one process on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.loader import lookup_loader
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._common.errors import OptionError
from ..module_utils._common.shell import refuse_booleans
from ..module_utils._dropin.journal import DROPIN
from . import _border, _template, _transport
from ._host_action import OUTPUT, Answer, HostAction, Result
from ._model import ApplyResult, Plan, Usage
from ._plan.outcome import broken_promises, refused_wishes, wanted_state
from ._plan.plan import make_plan
from ._plan.policy import asked_ports, read_policy

_transport.built("port_usage_info")

T = TypeVar("T")
Spec = dict[str, dict[str, Any]]

DROPIN_OPTIONS: Spec = {
    "path": {"type": "str"},
    "on_conflict": {"type": "str", "choices": ["fail", "warn", "ignore"]},
    "state_dir": {"type": "str"},
    "lock_timeout": {"type": "int"},
    "trial": {"type": "bool"},
}
# What ansible-core acts on in the result of a task.
OF_THE_TASK = ("ansible_facts", "diff", "warnings")
OPTIONS: Spec = {
    "policy": {"type": "dict", "default": {}},
    "template": {"type": "str"},
    "on_refused": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    **DROPIN_OPTIONS,
}


class StepFailedError(Exception):
    """A step has failed, with the reason, and what it printed where it crashed."""

    def __init__(self, reason: str, of_a_crash: Result | None = None) -> None:
        super().__init__(_border.clean(reason, OUTPUT))
        self.of_a_crash = of_a_crash or {}


class RemediatingAction(HostAction):
    _supports_async = False

    def read_options(self, spec: Spec, given: Mapping[str, Any]) -> Result:
        """Raises AnsibleActionFail for an option that cannot be used, before any host is observed."""
        try:
            refuse_booleans(spec, given)
            checked = ArgumentSpecValidator(spec).validate(dict(given))
            if checked.error_messages:
                raise OptionError("; ".join(checked.error_messages))
            read_policy(checked.validated_parameters.get("policy") or {})
        except OptionError as error:
            raise AnsibleActionFail(str(error)) from error
        except ValueError as error:
            raise AnsibleActionFail(f"policy: {error}") from error
        return dict(checked.validated_parameters)

    def remediate(self, result: Result, options: Result, task_vars: Result) -> None:
        """Fill usage, plan, applied and changed of the result, step by step. Raises StepFailedError."""
        place = {name: options[name] for name in ("path", "state_dir") if options[name] is not None}
        everything = {"detail": "full", "max_pools": 1, **place}
        usage = result["usage"] = self.ask("port_usage_info", everything, Usage, result, task_vars)
        try:
            plan = result["plan"] = wrap_var(make_plan(usage, options["policy"], options["path"] or DROPIN))
        except ValueError as error:
            raise StepFailedError(str(error)) from error
        refused = refused_wishes(plan, options["policy"])
        if refused and options["on_refused"] == "fail":
            raise StepFailedError(f"not changed, because the plan refuses what you chose: {' '.join(refused)}")
        if refused:
            result["warnings"] = _together(result.get("warnings"), [f"refused: {one}" for one in refused])
        dropin = {name: options[name] for name in DROPIN_OPTIONS if options[name] is not None}
        state = wanted_state(plan, usage, bool(options["trial"]))
        if state is None:
            return
        if state == "present":
            dropin["content"] = self.render(options["template"], plan, task_vars)
            dropin["asked_ports"] = asked_ports(options["policy"])
        applied = result["applied"] = self.ask(
            "sysctl_dropin", {**dropin, "state": state}, ApplyResult, result, task_vars
        )
        result["changed"] = applied["changed"]
        broken = broken_promises(plan, applied)
        if broken:
            raise StepFailedError(f"what was applied is not what was planned: {'; '.join(broken)}")

    def ask(self, module: str, arguments: Result, kind: type[T], result: Result, task_vars: Result) -> T:
        """What a module returned; what ansible-core acts on goes to the result. Raises StepFailedError."""
        is_usage = module == "port_usage_info"
        answer: Answer[Any] = (
            self.observe(arguments, task_vars) if is_usage else self.call(module, arguments, kind, task_vars)
        )
        for name, value in answer.of_the_task.items():
            result[name] = _together(result.get(name), value)
        if answer.error is not None or answer.result is None:
            raise StepFailedError(answer.error or "no result", answer.of_a_crash)
        result_of_it: T = answer.result
        return result_of_it

    def render(self, template: str, plan: Plan, task_vars: Mapping[str, Any]) -> str:
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

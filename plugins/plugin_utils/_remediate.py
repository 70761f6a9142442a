# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that remediate a host share: observe, decide, render and apply, in one process on the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._dropin.journal import DROPIN
from ..module_utils._sockets.known import OWN
from . import _border, _template, _transport
from ._host_action import OUTPUT, Answer, HostAction, Result
from ._model import ApplyResult, NamespaceApplyResult, Plan, Usage
from ._options import Options, Spec
from ._plan.elsewhere import broken_elsewhere, plan_elsewhere, refused_elsewhere, wishes
from ._plan.outcome import broken_promises, refused_wishes, wanted_state
from ._plan.plan import make_plan
from ._plan.policy import asked_ports, read_policy

# Once, before there are workers.
_transport.built("port_usage_info")
_transport.packed_module("namespace_sysctls")
_transport.packed_module("sysctl_dropin")
_border.prepare(ApplyResult, Plan, Usage)

T = TypeVar("T")

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
    "namespaces": {"type": "list", "elements": "str", "default": []},
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

    def read_options(self, known: Options, given: Mapping[str, Any]) -> Result:
        """Raises AnsibleActionFail for an option that cannot be used, before any host is observed."""
        options = self.read(known, given)
        try:
            read_policy(options.get("policy") or {})
        except ValueError as error:
            raise AnsibleActionFail(f"policy: {error}") from error
        return options

    def remediate(self, result: Result, options: Result, task_vars: Result) -> None:
        """Fill usage, plan, applied and changed of the result, and those of other network namespaces, step by step.

        Nothing is applied before everything is planned. Raises StepFailedError.
        """
        place = {name: options[name] for name in ("path", "state_dir") if options[name] is not None}
        everything = {"detail": "full", "max_pools": 1, **place}
        elsewhere = [name for name in options["namespaces"] if name != OWN]
        if elsewhere and options["trial"]:
            raise StepFailedError("namespaces: a trial is one of the drop-in alone; other network namespaces have none")
        if elsewhere:
            everything["namespaces"] = elsewhere
        usage = result["usage"] = self.ask("port_usage_info", everything, Usage, result, task_vars)
        try:
            plan = result["plan"] = wrap_var(make_plan(usage, options["policy"], options["path"] or DROPIN))
            plans = result["namespaces"] = wrap_var(plan_elsewhere(usage, options["policy"]) if elsewhere else [])
        except ValueError as error:
            raise StepFailedError(str(error)) from error
        refused = [*refused_wishes(plan, options["policy"]), *refused_elsewhere(plans, options["policy"])]
        if refused and options["on_refused"] == "fail":
            raise StepFailedError(f"not changed, because the plan refuses what you chose: {' '.join(refused)}")
        if refused:
            result["warnings"] = _together(result.get("warnings"), [f"refused: {one}" for one in refused])
        self._apply_here(result, options, task_vars)
        # A trial is that of the drop-in alone.
        if plans or (usage["namespaces_set"] and not options["trial"]):
            self._apply_elsewhere(result, options, task_vars)

    def _apply_here(self, result: Result, options: Result, task_vars: Result) -> None:
        plan = result["plan"]
        dropin = {name: options[name] for name in DROPIN_OPTIONS if options[name] is not None}
        state = wanted_state(plan, result["usage"], bool(options["trial"]))
        if state is None:
            return
        if state == "present":
            dropin["content"] = self.render(options["template"], plan, task_vars)
            dropin["asked_ports"] = asked_ports(options["policy"])
        applied = result["applied"] = self.ask(
            "sysctl_dropin", {**dropin, "state": state}, ApplyResult, result, task_vars
        )
        result["changed"] = applied["changed"]
        self._check_promises(broken_promises(plan, applied["settings"]))

    def _apply_elsewhere(self, result: Result, options: Result, task_vars: Result) -> None:
        plans = result["namespaces"]
        known = {name: options[name] for name in ("state_dir", "lock_timeout") if options[name] is not None}
        wanted = {"namespaces": wishes(plans), "asked_ports": asked_ports(options["policy"])}
        try:
            applied = self.ask("namespace_sysctls", {**known, **wanted}, NamespaceApplyResult, result, task_vars)
        except StepFailedError as error:
            raise StepFailedError(f"other network namespaces were not changed: {error}", error.of_a_crash) from error
        result["namespaces_applied"] = applied
        result["changed"] = result["changed"] or applied["changed"]
        self._check_promises(broken_elsewhere(plans, applied))

    def _check_promises(self, broken: Sequence[str]) -> None:
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

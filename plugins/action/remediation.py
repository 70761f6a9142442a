# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action remediation: give a host enough ephemeral ports, in one task."""

from __future__ import annotations

from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._host_action import TIMEOUT, VARIABLES, Result, failed
from ..plugin_utils._options import Options, Spec
from ..plugin_utils._remediate import OF_THE_TASK, OPTIONS, RemediatingAction, StepFailedError
from ..plugin_utils._time_limit import OutOfTimeError, within

ARGUMENTS: Spec = {
    **OPTIONS,
    "template": {"type": "str", "required": True},
    "on_error": {"type": "str", "choices": ["fail", "return"], "default": "fail"},
    TIMEOUT: {"type": "int", "default": 0},
    VARIABLES: {"type": "raw", "default": {}},
}
KNOWN = Options(ARGUMENTS)


class ActionModule(RemediatingAction):
    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        variables = task_vars or {}
        self.prepare(variables)
        options = self.read_options(KNOWN, self.given(variables))
        result: Result = dict.fromkeys(("usage", "plan", "applied", "namespaces_applied", "error"))
        result |= {"kind": "remediation", "changed": False, "check_mode": bool(self._task.check_mode), "namespaces": []}
        of_the_task: Result = {}
        try:
            with within(options[TIMEOUT]):
                self.remediate(result, options, variables)
        except (OutOfTimeError, StepFailedError) as failure:
            of_a_crash = failure.of_a_crash if isinstance(failure, StepFailedError) else {}
            result |= {**of_a_crash, "error": wrap_var(str(failure))}
            of_the_task = {name: result[name] for name in OF_THE_TASK if name in result} | of_a_crash
        # A prediction in a run that is not one of check mode has changed nothing.
        is_prediction = result["check_mode"] and not variables.get("ansible_check_mode")
        result["changed"] = result["changed"] and not is_prediction
        if result["error"] is None:
            self.tell(result, variables)
        elif options["on_error"] == "fail":
            return failed(result["error"], result, of_the_task)
        return result

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action remediation: give a host enough ephemeral ports, in one task."""

from __future__ import annotations

import json

from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._host_action import VARIABLES, Result
from ..plugin_utils._options import Options, Spec
from ..plugin_utils._remediate import OF_THE_TASK, OPTIONS, RemediatingAction, StepFailedError

ARGUMENTS: Spec = {
    **OPTIONS,
    "template": {"type": "str", "required": True},
    "on_error": {"type": "str", "choices": ["fail", "fail_with_result", "return"], "default": "fail"},
    VARIABLES: {"type": "dict", "default": {}},
}
KNOWN = Options(ARGUMENTS)
# Characters of what a host said, in a result of which ansible-core prints all. That of an honest host has half of them.
MOST_PRINTED = 11_000


class ActionModule(RemediatingAction):
    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        variables = task_vars or {}
        self.prepare(variables)
        options = self.read_options(KNOWN, self.given(variables))
        result: Result = dict.fromkeys(("usage", "plan", "applied", "namespaces_applied", "error"))
        result |= {"kind": "remediation", "changed": False, "check_mode": bool(self._task.check_mode), "namespaces": []}
        try:
            self.remediate(result, options, variables)
        except StepFailedError as failure:
            reason = wrap_var(str(failure))
            if options["on_error"] == "fail":
                of_the_task = {name: result[name] for name in OF_THE_TASK if name in result}
                return {**of_the_task, **failure.of_a_crash, "failed": True, "msg": reason}
            result |= {**failure.of_a_crash, "error": reason}
            if options["on_error"] == "fail_with_result":
                result |= {**_within_bounds(result), "failed": True, "msg": reason}
        # A prediction in a run that is not one of check mode has changed nothing.
        is_prediction = result["check_mode"] and not variables.get("ansible_check_mode")
        result["changed"] = result["changed"] and not is_prediction
        if result["error"] is None:
            self.tell(result, variables)
        return result


def _within_bounds(result: Result) -> Result:
    """What of a failed result is left out, the longest of which a host chooses."""
    left = MOST_PRINTED
    out: Result = {}
    for name in ("plan", "applied", "usage", "namespaces", "namespaces_applied"):
        length = len(json.dumps(result[name]))
        if length > left:
            out[name] = [] if name == "namespaces" else None
        else:
            left -= length
    return out

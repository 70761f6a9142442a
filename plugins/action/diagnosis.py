# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action diagnosis: observe a host, say what was found, and fail at a level, in one task."""

from __future__ import annotations

from ansible import context

from ..plugin_utils import _border, _transport
from ..plugin_utils._host_action import TIMEOUT, VARIABLES, Answer, HostAction, Result, failed
from ..plugin_utils._model import Usage, Users
from ..plugin_utils._options import Options, Spec
from ..plugin_utils._text.command import for_host
from ..plugin_utils._text.describe import describe
from ..plugin_utils._text.users import failing_elsewhere
from ..plugin_utils._time_limit import OutOfTimeError, within

# Once, before there are workers.
_transport.built("port_usage_info")
_transport.packed_module("port_users_info")
_border.prepare(Usage, Users)

ARGUMENTS: Spec = {
    "observe": {"type": "dict", "default": {}},
    "who": {"type": "float", "default": 0},
    "fail_at": {"type": "str", "choices": ["never", "warning", "critical", "exhausted"], "default": "never"},
    TIMEOUT: {"type": "int", "default": 0},
    VARIABLES: {"type": "raw", "default": {}},
}
OPTIONS = Options(ARGUMENTS)
# From the best to the worst; `unknown` is none of them.
_LEVELS = ("warning", "critical", "exhausted")


class ActionModule(HostAction):
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        variables = task_vars or {}
        self.prepare(variables)
        options = self.read(OPTIONS, self.given(variables))
        try:
            with within(options[TIMEOUT]):
                return self._diagnose(options, variables)
        except OutOfTimeError as error:
            return _failed(Answer(None, str(error)))

    def _diagnose(self, options: Result, variables: Result) -> Result:
        observing = {name: one for name, one in options["observe"].items() if one is not None}
        usage = self.observe(observing, variables)
        if usage.result is None or usage.error is not None:
            return _failed(usage)
        users: Answer[Users] = Answer(None)
        if options["who"]:
            tracing = {"seconds": options["who"], "namespaces": _named(observing, usage.result)}
            users = self.call("port_users_info", tracing, Users, variables)
            if users.error is not None:
                return _failed(users)
        lines = describe(usage.result)
        if users.result:
            lines += [*describe(users.result), *failing_elsewhere(users.result, usage.result)]
        # A program that finds no port, in whichever network namespace was asked for, is as bad as it gets.
        level = "exhausted" if users.result and users.result["no_port"] else usage.result["level"]
        result: Result = {"kind": "diagnosis", "changed": False, "level": level, "lines": lines}
        result |= {"usage": usage.result, "users": users.result}
        of_the_task = {**users.of_the_task, **usage.of_the_task}
        fail_at = options["fail_at"]
        if fail_at in _LEVELS and level in _LEVELS[_LEVELS.index(fail_at) :]:
            # The report groups hosts by what comes before the empty line.
            why = f"the level is {level}, and fail_at is {fail_at}"
            return failed("\n".join([why, "", *lines]), result, of_the_task)
        self.say(for_host(lines, variables["inventory_hostname"], context.CLIARGS), variables)
        return {**result, **of_the_task}


def _named(observing: Result, usage: Usage) -> list[int]:
    """Inodes of the network namespaces to trace where the user has named some. None: all of the host's."""
    wanted = observing.get("namespaces", "own")
    if {"own", "all"}.issuperset(wanted.split(",") if isinstance(wanted, str) else wanted):
        return []
    if usage["namespaces_observed"] > len(usage["namespaces"]):
        return []
    inodes = (one["namespace"]["inode"] for one in (usage, *usage["namespaces"]))
    return [inode for inode in inodes if inode is not None]


def _failed(answer: Answer[Usage] | Answer[Users]) -> Result:
    why = answer.error or "no result"
    return {"changed": False, **answer.of_the_task, **answer.of_a_crash, "failed": True, "msg": why}

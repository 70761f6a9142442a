# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down every result, and what our variables are at the start and at the end of the run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: witness
type: notification
short_description: Writes down results and variables
description:
  - For tests.
"""

OURS = re.compile(r"_*(timewait|ephemeral_ports)_")
LENGTH, ENTRIES, DEPTH = 2000, 100, 30


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "witness"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file = Path(os.environ["HOSTILE_WITNESS"]).open("a")  # noqa: SIM115 - for as long as the run lasts
        self._play: Any = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._play is None:
            self._play = play  # it has no roles, whose defaults would be variables, too
            self._say_variables("start")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        self._say_variables("end")
        self._file.flush()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._say_result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        del ignore_errors
        self._say_result("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._say_result("unreachable", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._say_result("skipped", result)

    def _say_result(self, how: str, result: Any) -> None:
        new = hasattr(result, "task")
        host, task = (result.host, result.task) if new else (result._host, result._task)
        values = result.result if new else result._result
        self._say(host=host.get_name(), how=how, action=task.action, role=str(task._role or ""), result=values)

    def _say_variables(self, when: str) -> None:
        manager = self._play.get_variable_manager()
        inventory = manager._inventory
        groups = sorted(inventory.groups)
        for host in inventory.get_hosts("all", ignore_limits=True, ignore_restrictions=True):
            found = manager.get_vars(play=self._play, host=host, include_hostvars=False)
            ours = {name: value for name, value in found.items() if OURS.match(name)}
            how = {name: found.get(name) for name in ("ansible_connection", "ansible_python_interpreter")}
            self._say(when=when, host=host.get_name(), variables=ours, how=how, groups=groups)

    def _say(self, **what: object) -> None:
        self._file.write(json.dumps(shortened(what)) + "\n")


def shortened(value: Any, depth: int = DEPTH) -> Any:
    """What is to be known of a value, however large it is."""
    if isinstance(value, (bool, int, float, type(None))):
        return value
    if not depth:
        return "..."
    if isinstance(value, Mapping):
        return {str(key)[:LENGTH]: shortened(one, depth - 1) for key, one in islice(value.items(), ENTRIES)}
    if isinstance(value, (list, tuple)):
        return [shortened(one, depth - 1) for one in value[:ENTRIES]]
    return str(value)[:LENGTH]

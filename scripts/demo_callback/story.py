# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback for scripts/demo.py: hands on what happens in a run, one event a line, as JSON, on the descriptor given."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.play import Play

DOCUMENTATION = r"""
name: story
type: notification
short_description: Hand on what happens in a run
description: Writes one line of JSON for each play and each task result to the descriptor in DEMO_EVENTS.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "story"

    def v2_playbook_on_play_start(self, play: Play) -> None:
        path = play.get_path().rpartition(":")[0]
        self._tell("play", path=path, variables=play.get_vars())

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._tell_result("ok", result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, **_options: object) -> None:
        self._tell_result("failed", result)

    def _tell_result(self, event: str, result: CallbackTaskResult) -> None:
        # ansible-core 2.19 gave these names without the underscore.
        task = getattr(result, "task", None) or result._task
        values = getattr(result, "result", None) or result._result
        self._tell(event, action=task.action, result=values)

    def _tell(self, event: str, **values: object) -> None:
        line = json.dumps({"event": event, **values}, default=str) + "\n"
        os.write(int(os.environ["DEMO_EVENTS"]), line.encode())

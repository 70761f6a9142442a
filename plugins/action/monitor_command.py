# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action monitor_command: the command ephemeral-ports, built here and copied to the host."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils._application import build_application
from ..plugin_utils._host_action import HostAction
from ..plugin_utils._version import collection_version

ENTRY = "_usage.watch.start"
MODE = "0755"


class ActionModule(HostAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        del tmp
        super().run(task_vars=task_vars)
        self.prepare(task_vars or {})
        _validated, options = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "interpreter": {"type": "str", "default": "/usr/bin/python3"}}
        )
        try:
            content = build_application(ENTRY, collection_version() or "unknown", options["interpreter"])
        except ValueError as error:
            raise AnsibleActionFail(f"interpreter: {error}") from None
        with tempfile.TemporaryDirectory(prefix="ephemeral-ports-") as directory:
            source = Path(directory, "ephemeral-ports")
            source.write_bytes(content)
            return self._copy(str(source), options["path"], task_vars)

    def _copy(self, source: str, path: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        task = self._task.copy()
        task.args = {"src": source, "dest": path, "mode": MODE, "owner": "root", "group": "root"}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return dict(action.run(task_vars=task_vars))

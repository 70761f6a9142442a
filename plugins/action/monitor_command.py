# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action monitor_command: the command ephemeral-ports, built here, compiled and installed by the module."""

from __future__ import annotations

import base64
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils._application import build_application
from ..plugin_utils._host_action import Answer, ModuleAction
from ..plugin_utils._model import InstalledCommand
from ..plugin_utils._version import collection_version

ENTRY = "_usage.watch.start"
COMPILER = "_usage.watch.bytecode"


class ActionModule(ModuleAction):
    module = "monitor_command"
    kind = InstalledCommand

    def ask_module(self, task_vars: dict[str, Any]) -> Answer[Any]:
        _validated, options = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "interpreter": {"type": "str", "default": "/usr/bin/python3"}}
        )
        try:
            version = collection_version() or "unknown"
            content = build_application(ENTRY, version, options["interpreter"], COMPILER)
        except ValueError as error:
            raise AnsibleActionFail(f"interpreter: {error}") from None
        application = base64.b64encode(content).decode()
        return self.call(self.module, {**options, "application": application}, self.kind, task_vars)

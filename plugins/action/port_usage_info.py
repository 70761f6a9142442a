# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action port_usage_info: the module, its result checked, with the NAT gateway that the inventory names."""

from __future__ import annotations

from typing import Any

from ..plugin_utils import _transport
from ..plugin_utils._host_action import Answer, ModuleAction, Result
from ..plugin_utils._model import Usage

_transport.built("port_usage_info")


class ActionModule(ModuleAction):
    module = "port_usage_info"
    kind = Usage

    def ask_module(self, task_vars: Result) -> Answer[Any]:
        return self.observe(self._task.args, task_vars)

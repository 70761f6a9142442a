# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action port_usage_info: the module, its result checked."""

from __future__ import annotations

from ..plugin_utils import _transport
from ..plugin_utils._host_action import ModuleAction
from ..plugin_utils._model import Usage

_transport.built("port_usage_info")


class ActionModule(ModuleAction):
    module = "port_usage_info"
    kind = Usage

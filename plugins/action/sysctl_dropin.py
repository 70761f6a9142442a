# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action sysctl_dropin: the module, its result checked."""

from __future__ import annotations

from ..plugin_utils._host_action import ModuleAction
from ..plugin_utils._model import ApplyResult


class ActionModule(ModuleAction):
    module = "sysctl_dropin"
    kind = ApplyResult
    tells = True

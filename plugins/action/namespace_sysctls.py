# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action namespace_sysctls: the module, its result checked."""

from __future__ import annotations

from ..plugin_utils._host_action import ModuleAction
from ..plugin_utils._model import NamespaceApplyResult


class ActionModule(ModuleAction):
    module = "namespace_sysctls"
    kind = NamespaceApplyResult
    tells = True

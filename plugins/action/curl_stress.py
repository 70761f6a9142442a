# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action curl_stress: the module, its result checked."""

from __future__ import annotations

from ..plugin_utils._host_action import ModuleAction
from ..plugin_utils._model import LoadResult


class ActionModule(ModuleAction):
    module = "curl_stress"
    kind = LoadResult
    tells = True
    _supports_check_mode = False  # a load cannot be predicted

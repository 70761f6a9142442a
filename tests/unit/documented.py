# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of a module says, with what it takes from a fragment."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import yaml

from ansible_collections.netops.ephemeral_ports.plugins.doc_fragments.options import ModuleDocFragment


def options_of(module: ModuleType) -> dict[str, dict[str, Any]]:
    """Of an action that takes values of options from variables."""
    return {
        name: option
        for text in (module.DOCUMENTATION, ModuleDocFragment.VARIABLES)
        for name, option in yaml.safe_load(text)["options"].items()
    }

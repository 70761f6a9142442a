# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of a module says, with what it takes from a fragment."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import yaml

from ansible_collections.netops.ephemeral_ports.plugins.doc_fragments.options import ModuleDocFragment


def options_of(module: ModuleType) -> dict[str, dict[str, Any]]:
    """With those of the fragments that it names."""
    fragments = [name for name in ("variables", "timeout") if f"options.{name}\n" in module.DOCUMENTATION]
    return {
        name: option
        for text in (module.DOCUMENTATION, *(getattr(ModuleDocFragment, name.upper()) for name in fragments))
        for name, option in yaml.safe_load(text)["options"].items()
    }

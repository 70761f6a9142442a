# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules, for tests that call what is behind these."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def defaults_of(module: ModuleType) -> dict[str, Any]:
    """Every option of a module of ours, as it is where nobody sets it."""
    return {name: spec.get("default") for name, spec in module.ARGUMENTS.items()}

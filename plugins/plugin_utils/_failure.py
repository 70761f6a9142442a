# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task has failed, from its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reason_given(result: Mapping[str, Any]) -> str:
    """What went wrong. Before ansible-core 2.19, the message about a module that crashed only leads to its stderr."""
    message, error = str(result.get("msg") or ""), str(result.get("module_stderr") or "").strip()
    if error and (not message or "See stdout/stderr" in message):
        return error.splitlines()[-1]
    return message or "no reason given"

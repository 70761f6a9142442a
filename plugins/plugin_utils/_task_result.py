# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task has failed, from its result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LEADS_TO_STDERR = ("See stdout/stderr", "deserialization failed")
# What ansible-core puts before each reason from 2.19 on.
_PREFIX = re.compile(r"\A(?:(?:Task|Action|Module) failed: )+(?=\S)")


def reason_given(result: Mapping[str, Any]) -> str:
    """What went wrong. The message about a module that crashed only leads to its stderr (before ansible-core 2.19), or
    complains that there is no JSON."""
    message, error = str(result.get("msg") or ""), str(result.get("module_stderr") or "").strip()
    if error and (not message or any(hint in message for hint in LEADS_TO_STDERR)):
        return error.splitlines()[-1]
    return _PREFIX.sub("", message) or "no reason given"

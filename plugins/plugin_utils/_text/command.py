# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that a diagnosis proposes, with the inventory and the host that it was made with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._usage.words import HOST_OF_COMMAND


def for_host(lines: Sequence[str], host: str, arguments: Mapping[str, Any]) -> list[str]:
    """Lines to be pasted on this controller. arguments: those of ansible-playbook; without an inventory, all stays."""
    sources = arguments.get("inventory") or ()
    if not sources:
        return list(lines)
    words = [word for source in sources for word in ("-i", source)] + ["-l", host]
    words += ["-c", "local"] if arguments.get("connection") == "local" else []
    named = shlex.join(str(word) for word in words)
    return [line.replace(HOST_OF_COMMAND, named) if line.strip() == HOST_OF_COMMAND else line for line in lines]

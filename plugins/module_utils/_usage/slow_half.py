# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search for a port begins with one half of them: what is said where that is used up. Pure."""

from typing import Any, Mapping

from .._common.text import format_duration
from .._kernel.ports import FIRST_HALF, PortRange, is_of_second_half


def slow_half(pool: Mapping[str, Any], port_range: PortRange, two_pass: bool) -> str:
    """A sentence after another one; none where the half has ports, or neither has. The time is told if it was measured.

    bind() begins with the half that connect() tries last.
    """
    if not two_pass or pool["saturation"] < FIRST_HALF or pool["level"] == "exhausted":
        return ""
    answer = pool["probe"] if pool["kind"] == "connect" else None
    if answer and answer["port"] is not None and not is_of_second_half(port_range, answer["port"]):
        return ""
    took = answer and answer["search_us"]
    now = "it now takes milliseconds instead of microseconds" if took is None else f"it took {format_duration(took)}"
    return f" The half that {'bind' if pool['kind'] == 'bind' else 'connect'}() tries first is used up: {now}."

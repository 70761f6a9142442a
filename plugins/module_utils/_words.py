# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How places and shares are written, wherever they are written."""

import math
from typing import Any, Mapping


def place(destination: Mapping[str, Any]) -> str:
    """ADDRESS:PORT, or [IPV6]:PORT, of a destination as port_usage_info returns it."""
    address = str(destination["address"])
    return f"[{address}]:{destination['port']}" if ":" in address else f"{address}:{destination['port']}"


def percent(share: float) -> str:
    """Never rounds up to a hundred, nor down to nothing."""
    return "<1 %" if 0 < share < 0.01 else f"{math.floor(round(share * 100, 2))} %"

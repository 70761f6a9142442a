# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How endpoints and shares are written, wherever they are written."""

import math
from typing import Any, Mapping


def format_endpoint(address: str, port: int) -> str:
    """ADDRESS:PORT or [IPV6]:PORT."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def format_destination(pool: Mapping[str, Any]) -> str:
    """The endpoint of a pool, or of whatever else has address and port; of a pool without a destination, its kind."""
    if pool["address"] is None:
        return f"any ({pool['kind']})"
    return format_endpoint(str(pool["address"]), pool["port"])


def format_duration(microseconds: float) -> str:
    """How long a search for a port takes."""
    return f"{microseconds:.0f} us" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def format_percent(share: float) -> str:
    """Never rounds up to a hundred, nor down to nothing."""
    return "<1%" if 0 < share < 0.01 else f"{math.floor(round(share * 100, 2))}%"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How endpoints, namespaces, times and shares are written, wherever they are written."""

import math
from typing import Any, List, Mapping, Optional, Sequence

# The ports that NAT chooses from where no rule says otherwise.
_PLAIN_NAT = "1024-65535"


def format_endpoint(address: str, port: int) -> str:
    """ADDRESS:PORT or [IPV6]:PORT."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def format_destination(pool: Mapping[str, Any]) -> str:
    """The endpoint of a pool, or of whatever else has address and port; of a pool without a destination, its kind."""
    if pool["address"] is None:
        return f"any ({pool['kind']})"
    endpoint, nat = format_endpoint(str(pool["address"]), pool["port"]), pool.get("nat")
    return endpoint if nat is None else f"{endpoint} behind {pool['source']}{_format_nat(nat)}"


def _format_nat(nat: Mapping[str, Any]) -> str:
    """What else tells pools of NAT apart, as far as it is not as usual."""
    parts = [nat["protocol"]] * (nat["protocol"] != "tcp")
    parts += [f"zone {nat['zone']}"] * (nat["zone"] != 0) + [f"ports {nat['ports']}"] * (nat["ports"] != _PLAIN_NAT)
    return f" ({', '.join(parts)})" if parts else ""


def place_name(namespace: Mapping[str, Any]) -> str:
    """Empty for the one in which the module ran: there is no need to name it."""
    owner, name, program = namespace["owner"], namespace["name"], namespace["program"]
    if namespace["own"]:
        return ""
    if owner:
        return f"{owner['kind']} {owner['name']}"
    if name:
        return f"netns {name}"
    oldest = f" of {program}, pid {namespace['pid']}" if program else ""
    return f"network namespace {namespace['inode'] or ''}".rstrip() + oldest


def format_who(program: Optional[str], owner: Optional[str]) -> str:
    """As in "php-fpm of podman web"; only one of them may be known."""
    return " of ".join(filter(None, (program, owner)))


def live_of(pool: Mapping[str, Any]) -> List[str]:
    """Who has the live connections of a pool, as in "93 live of php-fpm of podman web (pid 4711 and 2 more)"."""
    return [_live(one) for one in pool["live_by"] or ()]


def _live(one: Mapping[str, Any]) -> str:
    more = f" and {one['processes'] - 1} more" if one["processes"] and one["processes"] > 1 else ""
    process = f" (pid {one['pid']}{more})" if one["pid"] else ""
    return f"{one['live']} live of {format_who(one['program'], one['owner'])}{process}"


def recent_rate(pool: Mapping[str, Any]) -> float:
    """Connections closed per second, over the longest time up to 10 s of which nothing is missing."""
    return float(pool["rate"]["last_10s" if pool["hold_seconds"] >= 10 else "last_1s"])


def format_duration(microseconds: float) -> str:
    """How long a search for a port takes."""
    return f"{microseconds:.0f} us" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def format_forecast_time(seconds: float, between: Optional[Sequence[Optional[float]]]) -> str:
    """In how many seconds, and within which bounds where that is not sure. As in "in 40 s (30 to 60)"."""
    if seconds < 0.5 and (not between or not between[1] or between[1] < 0.5):
        return "less than 1 s"
    if not between or between[0] is None:
        return f"{seconds:.0f} s"
    if between[1] is None:
        return f"{seconds:.0f} s ({between[0]:.0f} s at the earliest)"
    return f"{seconds:.0f} s ({between[0]:.0f} to {between[1]:.0f})"


def format_number(value: float) -> str:
    """Nobody needs more of a rate."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def format_at_most(value: float) -> str:
    """A bound is never rounded up."""
    return f"{math.floor(value * 10) / 10:.1f}" if value < 10 else f"{math.floor(value)}"


def format_some(number: int, what: str) -> str:
    """As in "1 socket" and "2 sockets"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def format_percent(share: float) -> str:
    """Never rounds up to a hundred, nor down to nothing."""
    return "<1%" if 0 < share < 0.01 else f"{math.floor(round(share * 100, 2))}%"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools, ports and sockets as port_usage_info returns them. Pure."""

import ipaddress
import socket
from typing import Any, Dict, List, Optional

from .._kernel.ports import PortRange, PortSet, range_ports, usable_ports
from .._kernel.tcp import STATES
from .._nat.choice import FULLY_RANDOM, PERSISTENT, RANDOM
from .._sockets.probe import Answer
from .._sockets.socket_table import SocketTable
from . import forecast
from .options import Thresholds
from .pools import EXHAUSTED, Pool, Translation

# As nft names them.
_FLAGS = (("random", RANDOM), ("fully-random", FULLY_RANDOM), ("persistent", PERSISTENT))


def describe_pool(pool: Pool, thresholds: Thresholds, live_by: Optional[List[Dict[str, Any]]] = None) -> Dict[str, Any]:
    """One of the pools of a usage. live_by: whose the live sockets are, if that was asked."""
    source, address, port = pool.key
    waiting, level = pool.waiting, pool.level(thresholds)
    critical = pool.limits(thresholds).critical
    foretold = forecast.forecast(waiting, _not_waiting(pool), pool.usable, critical, level == EXHAUSTED)
    return {
        "kind": pool.kind,
        "source": source and str(ipaddress.ip_address(source)),
        "address": address and str(ipaddress.ip_address(address)),
        "port": port,
        # Of an odd range one search passes over a port, and the next one finds it.
        "usable": max(pool.usable, pool.blocked),
        "blocked": pool.blocked,
        "time_wait": waiting.number,
        "reusable": waiting.number - waiting.blocking,
        "live": pool.live,
        "states": pool.states,
        "syn_resent": pool.syn_resent,
        "live_by": live_by,
        "hold_seconds": waiting.hold_ms / 1000,
        "time_wait_seconds": waiting.lasts_ms / 1000,
        "longest_left_seconds": None if waiting.longest_left_ms is None else round(waiting.longest_left_ms / 1000, 1),
        "saturation": round(pool.saturation, 4),
        "level": level,
        "probe": pool.answer and _describe_answer(pool.answer),
        "rate": {f"last_{seconds}s": round(waiting.closed_per_second(seconds * 1000), 1) for seconds in (1, 10, 60)},
        "trend": _trend(pool, level, foretold.rate),
        "forecast": foretold._asdict(),
        "nat": pool.nat and _describe_nat(pool.nat),
    }


def _describe_nat(nat: Translation) -> Dict[str, Any]:
    low, high, flags, addresses, by_rule = nat.ports
    return {
        "protocol": "udp" if nat.protocol == socket.IPPROTO_UDP else "tcp",
        "zone": nat.zone,
        "ports": f"{low}-{high}",
        "by_rule": by_rule,
        "addresses": addresses or None,
        "flags": [name for name, bit in _FLAGS if flags & bit],
        "search_fails": round(nat.search_fails, 6),
        "dropped": nat.dropped,
        "idle": nat.idle,
    }


def _not_waiting(pool: Pool) -> int:
    """Ports that no closed connection gives free; those that it shares count as its own."""
    return pool.live if pool.taken is None else max(0, pool.taken - pool.waiting.number)


def _describe_answer(answer: Answer) -> Dict[str, Any]:
    return {**answer._asdict(), "source": answer.source and str(ipaddress.ip_address(answer.source))}


def _trend(pool: Pool, level: str, now: float) -> Optional[str]:
    """While attempts fail for want of a port, that fewer are closed does not mean that fewer are wanted."""
    found = pool.waiting.trend(now)
    return None if level == EXHAUSTED and found == "falling" else found


def describe_ports(
    port_range: PortRange, reserved: PortSet, table: Optional[SocketTable], two_pass: bool, bound: int = 0
) -> Dict[str, Any]:
    """The part port_range of a usage. A held port that is reserved too counts as reserved.

    bound: how many more clients chose by bind(). Without a table it is not known which ports are held; usable is then
    what it would be if none were.
    """
    within = range_ports(port_range)
    held = PortSet.of(table.listening | table.bound) if table else PortSet()
    return {
        "low": port_range.low,
        "high": port_range.high,
        "size": port_range.size,
        "reserved": len(within & reserved),
        "held": len((within & held) - reserved) + bound if table else None,
        "usable": max(0, usable_ports(port_range, reserved | held, two_pass) - bound),
    }


def describe_sockets(table: SocketTable) -> Dict[str, int]:
    """Sockets per state, each of the states of tcp(7) named."""
    return {name: table.states[number] for number, name in STATES.items()}

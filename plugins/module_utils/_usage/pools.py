# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port pools: the ports that one kind of use can take, and what follows from how many are taken. Pure.

A pool of the kind connect belongs to a source address, destination address and destination port: that is what a local
port of a connect() without bind() has to be unique for.
"""

import heapq
import ipaddress
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel.ports import PortRange, PortSet, range_ports, usable_ports
from .._kernel.tcp import STATES, Destination
from .._kernel.time_wait import Reuse
from .._sockets.socket_table import SocketTable
from . import forecast
from .forecast import Waiting
from .options import Only, Thresholds

CONNECT = "connect"

Sockstat = Mapping[str, Mapping[str, int]]


class Pool(NamedTuple):
    """usable: ports that can be taken at all. live: those that connections have. waiting: closed ones that the kernel
    still knows."""

    kind: str
    key: Destination
    usable: int
    live: int
    fin_wait2: int
    waiting: Waiting

    @property
    def blocked(self) -> int:
        return self.live + self.waiting.blocking

    @property
    def saturation(self) -> float:
        return min(1.0, self.blocked / self.usable) if self.usable else 1.0


def connect_pool(destination: Destination, table: SocketTable, usable: int, reuse: Reuse) -> Pool:
    waiting = Waiting(table.time_wait.histogram(destination), reuse.hold_ms(destination))
    return Pool(CONNECT, destination, usable, table.live[destination], table.fin_wait2[destination], waiting)


def most_blocked(table: SocketTable, reuse: Reuse, number: int, only: Optional[Only] = None) -> List[Destination]:
    """The destinations with the most blocked ports, the worst first."""

    def order(destination: Destination) -> Tuple[int, int, Destination]:
        least = forecast.lowest_blocking_tick(reuse.hold_ms(destination))
        blocked = table.live[destination] + table.time_wait.count(destination, least)
        return -blocked, -table.time_wait.count(destination), destination

    every = set(table.live) | set(table.time_wait)
    return heapq.nsmallest(number, (one for one in every if only is None or only.matches(one)), key=order)


def describe_pool(pool: Pool, thresholds: Thresholds) -> Dict[str, Any]:
    """One of the pools of a usage."""
    source, address, port = pool.key
    waiting = pool.waiting
    return {
        "kind": pool.kind,
        "source": str(ipaddress.ip_address(source)),
        "address": str(ipaddress.ip_address(address)),
        "port": port,
        "usable": pool.usable,
        "blocked": pool.blocked,
        "time_wait": waiting.number,
        "reusable": waiting.number - waiting.blocking,
        "live": pool.live,
        "fin_wait2": pool.fin_wait2,
        "hold_seconds": waiting.hold_ms / 1000,
        "saturation": round(pool.saturation, 4),
        "level": level_of(pool.saturation, thresholds),
        "rate": {f"last_{seconds}s": round(waiting.closed_per_second(seconds * 1000), 1) for seconds in (1, 10, 60)},
        "trend": waiting.trend(),
        "forecast": forecast.forecast(waiting, pool.live, pool.usable, thresholds.critical)._asdict(),
    }


def level_of(saturation: float, thresholds: Thresholds) -> str:
    if saturation >= 1:
        return "exhausted"
    if saturation >= thresholds.critical:
        return "critical"
    return "warning" if saturation >= thresholds.warning else "ok"


def worst_level(pools: Sequence[Mapping[str, Any]], usable: int) -> str:
    """The level of the first of the pools, which are sorted. Where no port is usable, no connect() succeeds."""
    if not usable:
        return "exhausted"
    return str(pools[0]["level"]) if pools else "ok"


def describe_ports(port_range: PortRange, reserved: PortSet, table: Optional[SocketTable]) -> Dict[str, Any]:
    """The part port_range of a usage. A held port that is reserved too counts as reserved.

    Without a table it is not known which ports are held; usable is then what it would be if none were.
    """
    within = range_ports(port_range)
    held = PortSet.of(table.listening | table.bound) if table else PortSet()
    return {
        "low": port_range.low,
        "high": port_range.high,
        "size": port_range.size,
        "reserved": len(within & reserved),
        "held": len((within & held) - reserved) if table else None,
        "usable": usable_ports(port_range, reserved | held),
    }


def describe_sockets(table: SocketTable) -> Dict[str, int]:
    """Sockets per state, each of the states of tcp(7) named."""
    return {name: table.states[number] for number, name in STATES.items()}


def blocked_at_most(sockstat: Sockstat) -> int:
    """A number that the blocked ports of no destination exceed, from /proc/net/sockstat and sockstat6.

    tw counts TIME_WAIT, and FIN_WAIT_2 without an owner, of IPv4 and IPv6. Up to Linux 4.10 it counts them for the
    whole host, so that in a container the number is too large rather than too small.
    """
    return sum(
        sockstat.get(name, {}).get(field, 0) for name, field in (("TCP", "inuse"), ("TCP", "tw"), ("TCP6", "inuse"))
    )


def sockstat_proves_ok(sockstat: Sockstat, usable: int, thresholds: Thresholds) -> bool:
    """Whether no destination can have reached the level warning, however the sockets are spread.

    A socket can also hold a port, bound but not connected, so that it is not usable. alloc counts those too, of IPv4
    and IPv6 and the whole host.
    """
    if "TCP" not in sockstat:
        return False
    return blocked_at_most(sockstat) < (usable - sockstat["TCP"]["alloc"]) * thresholds.warning

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has beyond a NAT gateway, however far it is from its own limits. Pure.

The controller adds it up over a fleet. A gateway remembers a closed connection longer or shorter than the host, so that
ages are told, not sums.
"""

import collections
import ipaddress
from typing import Any, Counter, Dict, List, Tuple

from .._kernel.tcp import Destination
from .._kernel.time_wait import Reuse
from .._sockets.socket_table import SocketTable
from . import pools
from .networks import Networks

# Ages are told in steps of 1.024 s, those of a minute.
STEP_SHIFT = 10
STEPS = 58
# So many destinations are returned, those with the most sockets; of the others, how many there are.
MOST = 50
# Of ports in TIME_WAIT that may be reused, few are as long as these are only so many of all.
_FEW = 0.1

_Endpoint = Tuple[bytes, int]


def describe_outside(table: SocketTable, networks: Networks, usable: int, reuse: Reuse) -> Dict[str, Any]:
    """The part outside of a usage."""
    groups: Dict[_Endpoint, List[Destination]] = {}
    for one in table.destinations():
        source, address, port = one
        if address in networks and source != address:
            groups.setdefault((address, port), []).append(one)
    sizes = {endpoint: sum(map(table.count, found)) for endpoint, found in groups.items()}
    ranked = sorted(sizes, key=lambda endpoint: (-sizes[endpoint], endpoint))
    left = [sizes[endpoint] for endpoint in ranked[MOST:]]
    return {
        "destinations": [_describe(one, groups[one], table, usable, reuse) for one in ranked[:MOST]],
        "left_out": {"destinations": len(left), "sockets": sum(left), "most": max(left, default=0)},
    }


def _describe(
    endpoint: _Endpoint, found: List[Destination], table: SocketTable, usable: int, reuse: Reuse
) -> Dict[str, Any]:
    ages: Counter[int] = collections.Counter()
    known = STEPS
    for one in found:
        waiting = pools.waiting_of(one, table, reuse)
        known = min(known, max(1, waiting.lasts_ms >> STEP_SHIFT))
        if waiting.reused and table.count(one) > usable * _FEW:
            known = max(1, waiting.hold_ms >> STEP_SHIFT)
        for tick, number in waiting.ticks.items():
            age = waiting.lasts_ms - (tick << waiting.shift) - waiting.tick_ms // 2
            ages[min(STEPS - 1, max(0, age) >> STEP_SHIFT)] += number
    closed = [ages[step] for step in range(known)]
    while closed and not closed[-1]:
        closed.pop()
    address, port = endpoint
    return {
        "address": str(ipaddress.ip_address(address)),
        "port": port,
        "usable": usable * len(found),
        "live": sum(table.live[one] for one in found),
        "syn_resent": sum(table.syn_resent[one] for one in found),
        "closed": closed,
        "known_seconds": known * (1 << STEP_SHIFT) / 1000,
    }

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool of UDP: a socket that wants any port gets one that no other UDP socket has. Pure."""

from typing import Dict, Mapping

from .._kernel.ports import PortRange, PortSet, client_ports
from .._kernel.sockstat import udp_sockets
from .._kernel.tcp import CLOSE
from .options import Thresholds
from .pools import NEAR, UDP, Pool
from .sockstat import Sockstat
from .waiting import Waiting

# The kernel keeps the numbers of states that TCP has: a UDP socket is connected or it is not.
CONNECTED, UNCONNECTED = "connected", "unconnected"

# A closed socket frees its port at once; no time at all is not foreseen.
_NONE_WAITING = Waiting({}, 1)


def may_be_near(sockstat: Sockstat, port_range: PortRange, reserved: PortSet, thresholds: Thresholds) -> bool:
    """Whether there are so many UDP sockets that the pool may be near the level warning."""
    return udp_sockets(sockstat) >= len(client_ports(port_range, reserved)) * thresholds.of_udp.warning * NEAR


def udp_pool(states: Mapping[int, Mapping[int, int]], port_range: PortRange, reserved: PortSet) -> Pool:
    """states: sockets per state number, by local port. No port is left out of an odd range, and none waits."""
    clients = client_ports(port_range, reserved)
    taken = [numbers for port, numbers in states.items() if port in clients]
    named: Dict[str, int] = {}
    for numbers in taken:
        for state, number in numbers.items():
            name = UNCONNECTED if state == CLOSE else CONNECTED
            named[name] = named.get(name, 0) + number
    return Pool(UDP, (None, None, None), len(clients), sum(named.values()), named, _NONE_WAITING, taken=len(taken))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a closed connection keeps its local port in TIME_WAIT, and when connect() reuses the port earlier."""

import ipaddress
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Optional

from .keys import TIMESTAMPS, TW_RECYCLE, TW_REUSE
from .tcp import Destination

TIME_WAIT_MS = 60000  # TCP_TIMEWAIT_LEN, a compile-time constant in every version; some vendors made it a sysctl

# With tcp_tw_recycle TIME_WAIT lasts for 3.5 RTO, if the connection had timestamps. An RTO is 200 ms at least.
_SHORTEST_RECYCLE_MS = 700
# What is left of a longer one belongs to a connection without timestamps: no RTO is 3 s, save where packets were lost.
_LONGEST_RECYCLE_MS = 10500


class Reuse(NamedTuple):
    """When connect() may reuse the port of a socket in TIME_WAIT (tcp_twsk_unique).

    mode: tcp_tw_reuse as this kernel understands it: 0 never, 1 always, 2 for loopback addresses.
    delay_ms: the age from which on it may. never_seen: the kernel has not counted any (TWRecycled). hidden: the mode is
    that of the host, which a container on an old kernel does not see. time_wait_ms: for how long TIME_WAIT lasts
    otherwise. recycles: by 3.5 RTO of each connection instead.
    """

    mode: int
    delay_ms: int
    never_seen: bool = False
    hidden: bool = False
    time_wait_ms: int = TIME_WAIT_MS
    recycles: bool = False

    def lasts_ms(self, longest_left_ms: int = 0) -> int:
        """For how long TIME_WAIT lasts. longest_left_ms: the most that a socket to the same destination has left."""
        if not self.recycles or longest_left_ms > _LONGEST_RECYCLE_MS:
            return self.time_wait_ms
        return max(_SHORTEST_RECYCLE_MS, longest_left_ms)

    def hold_ms(self, destination: Destination, lasts_ms: Optional[int] = None) -> int:
        """How long a closed connection blocks its port for this destination, if TIME_WAIT lasts for lasts_ms."""
        lasts_ms = self.lasts_ms() if lasts_ms is None else lasts_ms
        effective = self.mode == 1 or (self.mode == 2 and is_loopback(destination))
        return min(self.delay_ms, lasts_ms) if effective else lasts_ms


def is_loopback(destination: Destination) -> bool:
    """The kernel's rule for tcp_tw_reuse = 2: an address of 127.0.0.0/8 or ::1 at either end.

    Any other local address does not count, although its traffic goes over lo too.
    """
    return any(ipaddress.ip_address(address).is_loopback for address in destination[:2])


def reuse_in_force(
    kernel: Mapping[str, Any], sysctls: Mapping[str, Optional[str]], counted: Mapping[str, int] = MappingProxyType({})
) -> Reuse:
    """What tcp_tw_reuse does now, from three parts of a usage.

    A socket remembers whether its connection had timestamps, but does not tell: tcp_timestamps stands for it. Where a
    container on an old kernel cannot see that key, the kernel's default (on) is assumed; where it cannot see
    tcp_tw_reuse, the ports that were reused in it tell.
    """
    recycled, hidden = counted.get("TWRecycled", 0), sysctls[TW_REUSE] is None
    value = int(recycled > 0) if hidden else int(sysctls[TW_REUSE] or 0)
    if value and value not in kernel["tcp_tw_reuse"]["modes"]:
        value = 1
    recycles = (sysctls.get(TW_RECYCLE) or "0") != "0"
    if sysctls[TIMESTAMPS] == "0":
        value, recycles = 0, False
    delay_ms, time_wait_ms = kernel["reuse_delay"]["milliseconds"], kernel["time_wait"]["milliseconds"]
    return Reuse(value, delay_ms, not recycled, hidden, time_wait_ms, recycles)

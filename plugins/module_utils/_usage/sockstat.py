# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc/net/sockstat alone proves, so that a host on which all is well costs no dump. Pure."""

from typing import Mapping

from .options import Thresholds

Sockstat = Mapping[str, Mapping[str, int]]


def blocked_at_most(sockstat: Sockstat) -> int:
    """A number that the blocked ports of no destination exceed, from /proc/net/sockstat and sockstat6.

    tw counts TIME_WAIT, and FIN_WAIT_2 without an owner, of IPv4 and IPv6. Up to Linux 4.10 it counts them for the
    whole host, so that in a container the number is too large rather than too small.
    """
    return sum(
        sockstat.get(name, {}).get(field, 0) for name, field in (("TCP", "inuse"), ("TCP", "tw"), ("TCP6", "inuse"))
    )


def proves_ok(sockstat: Sockstat, usable: int, thresholds: Thresholds) -> bool:
    """Whether no destination can have reached the level warning, however the sockets are spread.

    A socket can also hold a port, bound but not connected, so that it is not usable. alloc counts those too, of IPv4
    and IPv6 and the whole host.
    """
    if "TCP" not in sockstat:
        return False
    return blocked_at_most(sockstat) < (usable - sockstat["TCP"]["alloc"]) * thresholds.warning

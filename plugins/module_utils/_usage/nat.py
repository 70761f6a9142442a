# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What connection tracking says, and whether there is reason to ask it for more than its counters."""

from typing import NamedTuple, Optional, Tuple

from .._kernel.counters import Conntrack, read_conntrack
from .options import ScanOptions
from .pools import Pool

# So few entries fill no range that anybody chose.
FEW = 10


class Timeouts(NamedTuple):
    """Of entries, in seconds: of a closed connection, of one exchange by UDP, and of an open connection."""

    time_wait: int
    udp: int
    established: int


class Nat(NamedTuple):
    """conntrack: counters, where connections are tracked. pools: of the kind snat, in no order.

    unread: entries that may not be read, or whose rules may not. fully_random: whether a rule says so; None where no
    rule was read.
    """

    conntrack: Optional[Conntrack]
    pools: Tuple[Pool, ...] = ()
    unread: int = 0
    fully_random: Optional[bool] = None
    timeouts: Optional[Timeouts] = None


def observe_nat(options: ScanOptions, release: str, proc: str, is_own: bool) -> Nat:
    """is_own: whether this process is in the network namespace that proc shows."""
    conntrack = read_conntrack(proc)
    is_full = options.detail == "full" or options.only is not None
    if conntrack is None or conntrack.entries < (1 if is_full else FEW):
        return Nat(conntrack)
    from . import snat  # here, because most hosts do not need all that it loads

    return snat.observe(options, conntrack, release, proc, is_own)

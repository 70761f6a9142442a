# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full the connection tracking table is, and whether it had to turn connections away."""

import os
from typing import Dict, NamedTuple, Optional

from . import sysctl

_COUNT = "net.netfilter.nf_conntrack_count"
_MAX = "net.netfilter.nf_conntrack_max"


class Conntrack(NamedTuple):
    """Entries now and at most, and failures since boot: no address or port free for NAT, and packets dropped."""

    entries: int
    limit: int
    insert_failed: int
    drop: int


def read(proc: str = "/proc") -> Optional[Conntrack]:
    """None where connections are not tracked in this network namespace."""
    root = os.path.join(proc, "sys")
    count, limit = sysctl.read(_COUNT, root), sysctl.read(_MAX, root)
    if count is None or limit is None:
        return None
    try:
        with open(os.path.join(proc, "net/stat/nf_conntrack"), encoding="ascii") as lines:
            counters = parse_statistics(lines.read())
    except OSError:  # the statistics can be left out of a kernel
        counters = {}
    return Conntrack(int(count), int(limit), counters.get("insert_failed", 0), counters.get("drop", 0))


def parse_statistics(text: str) -> Dict[str, int]:
    """/proc/net/stat/nf_conntrack: a head, then hexadecimal numbers, one line per CPU. Returns the sums."""
    head, *rows = text.splitlines() or [""]
    columns = zip(*(row.split() for row in rows))
    return {name: sum(int(number, 16) for number in numbers) for name, numbers in zip(head.split(), columns)}

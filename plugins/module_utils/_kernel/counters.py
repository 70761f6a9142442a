# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel has counted: sockets, events of TCP, connections tracked, seconds since boot."""

import os
from typing import Dict, NamedTuple, Optional

from . import sysctl

PROC = "/proc"

_COUNT, _LIMIT = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"

# Connections opened and how opening them failed; what was sent again; TIME_WAIT and early reuse; what PAWS dropped.
COUNTERS = (
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "RetransSegs",
    "TCPSynRetrans",
    "TCPTimeouts",
    "TW",
    "TWRecycled",
    "TWKilled",
    "TCPTimeWaitOverflow",
    "PAWSPassive",
    "PAWSActive",
    "PAWSEstab",
    "PAWSTimewait",
)


class Conntrack(NamedTuple):
    """Entries now and at most, and failures since boot: no address or port free for NAT, and packets dropped."""

    entries: int
    limit: int
    insert_failed: int
    drop: int


def read_netstat(proc: str = PROC) -> Dict[str, Dict[str, int]]:
    """The counters of /proc/net/netstat as {"TcpExt": {"TWRecycled": 0, ...}, "IpExt": ...}."""
    return _read_groups(os.path.join(proc, "net/netstat"))


def read_counters(proc: str = PROC) -> Dict[str, int]:
    """What this network namespace has counted since it was made: those of COUNTERS that the kernel has."""
    found = {**read_netstat(proc).get("TcpExt", {}), **_read_groups(os.path.join(proc, "net/snmp")).get("Tcp", {})}
    return {name: found[name] for name in COUNTERS if name in found}


def read_conntrack(proc: str = PROC) -> Optional[Conntrack]:
    """None where connections are not tracked in this network namespace.

    Of another one, by its /proc/PID, no sysctl can be read; the statistics tell what they can.
    """
    root = os.path.join(proc, "sys")
    count = sysctl.read(_COUNT, root)
    if count is None and os.path.isdir(root):
        return None
    try:
        with open(os.path.join(proc, "net/stat/nf_conntrack"), encoding="ascii") as lines:
            failures = parse_conntrack(lines.read())
    except OSError:  # the statistics can be left out of a kernel
        failures = {}
    limit = sysctl.read(_LIMIT, root)
    if count is None and not failures:
        return None
    entries = int(count) if count is not None else failures.get("entries", 0)
    return Conntrack(entries, int(limit or 0), failures.get("insert_failed", 0), failures.get("drop", 0))


def parse_conntrack(text: str) -> Dict[str, int]:
    """/proc/net/stat/nf_conntrack: a head, then hexadecimal numbers, one line per CPU. Returns the sums.

    The number of entries is the same in each line.
    """
    head, *rows = text.splitlines() or [""]
    columns = zip(*(row.split() for row in rows))
    found = {name: [int(number, 16) for number in numbers] for name, numbers in zip(head.split(), columns)}
    return {name: numbers[0] if name == "entries" else sum(numbers) for name, numbers in found.items()}


def read_uptime(proc: str = PROC) -> float:
    """Seconds since boot; the time between two usages is the difference."""
    with open(os.path.join(proc, "uptime"), encoding="ascii") as stream:
        return float(stream.read().split()[0])


def _read_groups(path: str) -> Dict[str, Dict[str, int]]:
    """Pairs of lines, names and values, each with its group before a colon."""
    found: Dict[str, Dict[str, int]] = {}
    with open(path, encoding="ascii") as lines:
        for heads, values in zip(lines, lines):
            group, _colon, names = heads.partition(":")
            found[group] = dict(zip(names.split(), map(int, values.split()[1:])))
    return found

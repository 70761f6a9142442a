# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that DNAT rules of iptables-legacy lead elsewhere.

It takes CAP_NET_ADMIN. Nothing is loaded: only tables that are there already are read.
"""

import contextlib
import struct

from ..._kernel.ports import MAX_PORT, PortSet
from ..._nat import xtables
from ..._nat.xtables import Layout
from .nat_rules import Rules

_TARGETS = (b"DNAT", b"REDIRECT")


def find(proc: str = "/proc") -> Rules:
    """Nothing where there is no such table, or no privilege: then files and sockets have to do."""
    ports, of_kubernetes = PortSet(), False
    for layout in xtables.LAYOUTS:
        with contextlib.suppress(OSError, struct.error):
            table = xtables.read_table(layout, proc)
            of_kubernetes |= b"KUBE-" in table
            for entry, target_at in xtables.entries(table, layout):
                ports |= translated(entry, target_at, layout)
    return Rules(ports, of_kubernetes)


def translated(entry: bytes, target_at: int, layout: Layout) -> PortSet:
    """The destination ports that a rule of DNAT or a redirection asks for; none where it does not ask."""
    if xtables.name(entry, target_at) not in _TARGETS:
        return PortSet()
    ports = xtables.EVERY_PORT
    for name, data in xtables.matches(entry, target_at, layout):
        ports &= xtables.matched_ports(name, data)
    return ports if len(ports) <= MAX_PORT else PortSet()

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports belong to others, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ...module_utils._kernel.ports import PortSet, parse_ports, range_ports, union
from .._border import clean
from .._model import Claim, PortLine
from .host import Host
from .policy import Policy

IN_FILES = "sysctl files name {}"
_PLACE = 200  # characters of a path


@dataclass(frozen=True)
class Found:
    """Ports of others that connect() could take after the plan.

    reasons: why they are somebody's. in_files: those that sysctl files reserve, in force or not. newly: those of both
    that connect() could not take without us.
    """

    reasons: tuple[tuple[PortSet, str], ...]
    in_files: PortSet
    newly: PortSet

    @property
    def ports(self) -> PortSet:
        return union(ports for ports, _why in self.reasons)

    def whose(self, some: PortSet) -> str:
        """Whose each of these ports is."""
        reasons = (*self.reasons, (self.in_files, IN_FILES))
        return "; ".join(words.format(ports & some) for ports, words in reasons if ports & some)


def find_others(host: Host, wish: Policy, reach: PortSet) -> Found:
    """reach: what connect() can take after the plan, but for reservations.

    In today's range, a UDP socket that is not connected is most likely a client that waits for an answer.
    """
    today = range_ports(host.port_range)
    reached = range_ports(host.range_before) | host.reserved_before
    every = [
        (host.tcp | (host.udp - today), "{} belong to services that listen"),
        *((parse_ports(claim["ports"]), f"{{}} are {claimed(claim)}") for claim in host.claims),
    ]
    reach -= wish.do_not_reserve
    inside = [(ports & reach, why) for ports, why in every]
    reasons = tuple((ports, why) for ports, why in inside if ports)
    in_files = host.reserved_in_files & reach
    return Found(reasons, in_files, union([in_files, *(ports for ports, _why in reasons)]) - reached)


def claimed(claim: Claim) -> str:
    where = f" ({_one_line(claim['where'])})" if claim["where"] else ""
    words = {
        "kubernetes": f"node ports of Kubernetes{where or ' (the default)'}",
        "docker": f"published by Docker{where}",
        "cni": f"published by containers{where}",
        "nat": "led elsewhere by DNAT rules",
    }
    return words[claim["by"]]


def place(line: PortLine) -> str:
    return f"{_one_line(line['file'])}:{line['line']}"


def _one_line(path: str) -> str:
    """It stands in a comment of the drop-in."""
    return " ".join(clean(path, _PLACE).split())

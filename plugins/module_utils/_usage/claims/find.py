# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who claims ports on this host, from its files and its rules of NAT."""

from typing import Iterable, Tuple

from . import kubernetes, legacy_rules, nat_rules, published
from .claim import Claim

NAT = "nat"


def find_claims(listening: Iterable[int], proc: str) -> Tuple[Claim, ...]:
    """listening: TCP ports of listeners."""
    redirected, of_kubernetes = find_redirected(proc)
    return (*kubernetes.find(listening, of_kubernetes), *published.find(), *redirected)


def find_redirected(proc: str) -> Tuple[Tuple[Claim, ...], bool]:
    """What rules of this network namespace lead elsewhere, and whether some are of kube-proxy."""
    rules = nat_rules.find(proc), legacy_rules.find(proc)
    ports = rules[0].ports | rules[1].ports
    return (Claim(NAT, ports, ""),) if ports else (), any(one.of_kubernetes for one in rules)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that DNAT rules of nftables lead elsewhere (include/uapi/linux/netfilter/nf_tables.h).

iptables-nft writes such rules too; those of iptables-legacy are read by legacy_rules. It takes CAP_NET_ADMIN.
"""

import functools
import struct
from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple

from ..._kernel.netlink import attributes
from ..._kernel.ports import MAX_PORT, PortSet
from ..._nat import nft
from ..._nat.nft import expressions, number, text, value
from ..._nat.xtables import matched_ports

_SET, _INVERTED = 1, 5  # of a lookup
_ELEMENTS, _KEY, _FLAGS, _KEY_END = 3, 1, 3, 10
_INTERVAL_END = 1
_TRANSPORT, _DPORT = 2, 2  # header, and offset of the destination port in it
_EQ, _LTE, _GTE = 0, 3, 5
# Chains of kube-proxy with iptables, its table with nftables.
_KUBERNETES = (b"KUBE-", b"kube-proxy\0")

# The ports in a set, by the names of its table and its own.
Members = Callable[[bytes, bytes], PortSet]


class Rules(NamedTuple):
    """ports: of DNAT rules. of_kubernetes: whether kube-proxy has rules."""

    ports: PortSet
    of_kubernetes: bool


def find(proc: str = "/proc") -> Rules:
    ports, of_kubernetes = PortSet(), False
    try:
        for family, rule in nft.rules(proc):
            of_kubernetes = of_kubernetes or any(name in rule for name in _KUBERNETES)
            if b"nat\0" in rule or b"redir\0" in rule or b"DNAT\0" in rule or b"REDIRECT\0" in rule:
                ports |= translated(rule, functools.partial(_members, family))
    except (OSError, struct.error):
        pass  # no privilege, or no nf_tables: files and sockets have to do
    return Rules(ports, of_kubernetes)


def _members(family: int, table: bytes, name: bytes) -> PortSet:
    names = b"".join(
        struct.pack("=HH", len(one) + 5, kind) + one + bytes(4 - len(one) % 4)
        for kind, one in ((nft.TABLE, table), (nft.TABLE + 1, name))
    )
    return ports_in_set(answer for _family, answer in nft.dump(nft.GETSETELEM, family, names))


def ports_in_set(answers: Iterable[bytes]) -> PortSet:
    """The elements of a set whose key is a port, or ends with one. An interval is its start and the end behind it."""
    starts: List[int] = []
    ends: List[int] = []
    spans: List[Tuple[int, int]] = []
    for answer in answers:
        for _kind, element in attributes(dict(attributes(answer)).get(_ELEMENTS, b"")):
            parts = dict(attributes(element))
            first, last = (_port(parts[kind], is_last=True) if kind in parts else None for kind in (_KEY, _KEY_END))
            if first is not None and last is not None:
                spans.append((first, last))
            elif first is not None:
                (ends if number(parts.get(_FLAGS)) & _INTERVAL_END else starts).append(first)
    for start in starts:
        behind = min((end for end in ends if end > start), default=MAX_PORT + 1)
        spans.append((start, behind - 1 if ends else start))
    return PortSet(spans)


def translated(rule: bytes, members: Members) -> PortSet:
    """The destination ports that a rule of DNAT or a redirection asks for; none where it does not ask."""
    table = text(dict(attributes(rule)).get(nft.TABLE))
    low, high = 0, MAX_PORT
    is_dnat, is_port = False, False
    listed = PortSet([(low, high)])
    for name, data in expressions(rule):
        if name == b"payload":
            is_port = [number(data.get(one)) for one in (2, 3, 4)] == [_TRANSPORT, _DPORT, 2]
        elif name in (b"cmp", b"range") and is_port:
            ends = [_port(data[one]) for one in (3, 4) if one in data]
            operator = number(data.get(2))
            if None in ends:
                continue
            if operator == _EQ or (name == b"cmp" and operator == _GTE):
                low = max(low, ends[0] or 0)
            if operator == _EQ or (name == b"cmp" and operator == _LTE):
                high = min(high, ends[-1] or 0)
        elif name == b"lookup" and is_port and not number(data.get(_INVERTED)):
            listed &= members(table, text(data.get(_SET)))
        elif name == b"match":
            listed &= matched_ports(text(data.get(1)), data.get(3, b""))
        is_dnat |= (name == b"nat" and number(data.get(1)) == 1) or name == b"redir"
        is_dnat |= name == b"target" and text(data.get(1)) in (b"DNAT", b"REDIRECT")
    asked = PortSet([(low, high)]) & listed if low <= high else PortSet()
    return asked if is_dnat and len(asked) <= MAX_PORT else PortSet()


def _port(data: bytes, is_last: bool = False) -> Optional[int]:
    """Of two bytes within NFTA_DATA_VALUE. is_last: they may be the last of several fields, which fill words."""
    given = value(data)
    if is_last and len(given) > 4:
        given = given[-4:-2]
    return number(given) if len(given) == 2 else None

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that DNAT rules of nftables lead elsewhere (include/uapi/linux/netfilter/nf_tables.h).

iptables-nft writes such rules too; those of iptables-legacy are read by legacy_rules. It takes CAP_NET_ADMIN.
"""

import functools
import os
import socket
import struct
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ..._kernel.ports import MAX_PORT, PortSet

_NETLINK_NETFILTER = 12
_GETRULE, _GETSETELEM = 10 << 8 | 7, 10 << 8 | 13  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE, NFT_MSG_GETSETELEM
_REQUEST_FLAGS = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_TIMEOUT_S = 10
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_BODY = _HEADER.size + 4  # then struct nfgenmsg, which begins with the family
_TABLE, _EXPRESSIONS, _NAME, _DATA = 1, 4, 1, 2
_SET, _INVERTED = 1, 5  # of a lookup
_ELEMENTS, _KEY, _FLAGS, _KEY_END = 3, 1, 3, 10
_INTERVAL_END = 1
_TRANSPORT, _DPORT = 2, 2  # header, and offset of the destination port in it
_EQ, _LTE, _GTE = 0, 3, 5
_XT_INVERTED, _XT_SOURCES = 2, 0  # of destination ports
# Chains of kube-proxy with iptables, its table with nftables.
_KUBERNETES = (b"KUBE-", b"kube-proxy\0")
_TYPE_MASK = 0x3FFF

# The ports in a set, by the names of its table and its own.
Members = Callable[[bytes, bytes], PortSet]


class Rules(NamedTuple):
    """ports: of DNAT rules. of_kubernetes: whether kube-proxy has rules."""

    ports: PortSet
    of_kubernetes: bool


def find(proc: str = "/proc") -> Rules:
    ports, of_kubernetes = PortSet(), False
    try:
        for family, rule in _dump(_GETRULE) if _is_loaded(proc) else ():
            of_kubernetes = of_kubernetes or any(name in rule for name in _KUBERNETES)
            if b"nat\0" in rule or b"redir\0" in rule or b"DNAT\0" in rule or b"REDIRECT\0" in rule:
                ports |= translated(rule, functools.partial(_members, family))
    except (OSError, struct.error):
        pass  # no privilege, or no nf_tables: files and sockets have to do
    return Rules(ports, of_kubernetes)


def _is_loaded(proc: str) -> bool:
    """To ask would load the module. Without /proc/modules there are none to load."""
    try:
        with open(os.path.join(proc, "modules"), encoding="ascii") as modules:
            return os.path.exists("/sys/module/nf_tables") or any(line.startswith("nf_tables ") for line in modules)
    except FileNotFoundError:
        return True


def _dump(kind: int, family: int = 0, attributes: bytes = b"") -> Iterator[Tuple[int, bytes]]:
    """The family and the attributes of each rule of this network namespace, or of what else there is of this kind."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        size = _BODY + len(attributes)
        kernel.send(_HEADER.pack(size, kind, _REQUEST_FLAGS, 1, 0) + struct.pack("=Bxxx", family) + attributes)
        while True:
            answer = kernel.recv(1 << 17)
            while answer:
                length, kind = _HEADER.unpack_from(answer)[:2]
                if kind in (_NLMSG_ERROR, _NLMSG_DONE) or length < _HEADER.size:
                    return
                yield answer[_HEADER.size], answer[_BODY:length]
                answer = answer[length + 3 & ~3 :]


def _members(family: int, table: bytes, name: bytes) -> PortSet:
    names = b"".join(
        struct.pack("=HH", len(text) + 5, kind) + text + bytes(4 - len(text) % 4)
        for kind, text in ((_TABLE, table), (_TABLE + 1, name))
    )
    return ports_in_set(answer for _family, answer in _dump(_GETSETELEM, family, names))


def ports_in_set(answers: Iterable[bytes]) -> PortSet:
    """The elements of a set whose key is a port, or ends with one. An interval is its start and the end behind it."""
    starts: List[int] = []
    ends: List[int] = []
    spans: List[Tuple[int, int]] = []
    for answer in answers:
        for _kind, element in _attributes(dict(_attributes(answer)).get(_ELEMENTS, b"")):
            parts = dict(_attributes(element))
            first, last = (_port(parts[kind], is_last=True) if kind in parts else None for kind in (_KEY, _KEY_END))
            if first is not None and last is not None:
                spans.append((first, last))
            elif first is not None:
                (ends if _number(parts.get(_FLAGS)) & _INTERVAL_END else starts).append(first)
    for start in starts:
        behind = min((end for end in ends if end > start), default=MAX_PORT + 1)
        spans.append((start, behind - 1 if ends else start))
    return PortSet(spans)


def translated(rule: bytes, members: Members) -> PortSet:
    """The destination ports that a rule of DNAT or a redirection asks for; none where it does not ask."""
    table = _text(dict(_attributes(rule)).get(_TABLE))
    low, high = 0, MAX_PORT
    is_dnat, is_port = False, False
    listed = PortSet([(low, high)])
    for name, data in _expressions(rule):
        if name == b"payload":
            is_port = [_number(data.get(one)) for one in (2, 3, 4)] == [_TRANSPORT, _DPORT, 2]
        elif name in (b"cmp", b"range") and is_port:
            ends = [_port(data[one]) for one in (3, 4) if one in data]
            operator = _number(data.get(2))
            if None in ends:
                continue
            if operator == _EQ or (name == b"cmp" and operator == _GTE):
                low = max(low, ends[0] or 0)
            if operator == _EQ or (name == b"cmp" and operator == _LTE):
                high = min(high, ends[-1] or 0)
        elif name == b"lookup" and is_port and not _number(data.get(_INVERTED)):
            listed &= members(table, _text(data.get(_SET)))
        elif name == b"match":
            listed = xt_ports(_text(data.get(1)), data.get(3, b""), listed)
        is_dnat |= (name == b"nat" and _number(data.get(1)) == 1) or name == b"redir"
        is_dnat |= name == b"target" and _text(data.get(1)) in (b"DNAT", b"REDIRECT")
    asked = PortSet([(low, high)]) & listed if low <= high else PortSet()
    return asked if is_dnat and len(asked) <= MAX_PORT else PortSet()


def xt_ports(match: bytes, data: bytes, ports: PortSet) -> PortSet:
    """Those of the ports that a match of iptables is for: struct xt_tcp, xt_udp and xt_multiport_v1."""
    if match in (b"tcp", b"udp"):
        low, high, inverted = struct.unpack_from("=HH3xB" if match == b"tcp" else "=HHB", data, 4)
        return ports if inverted & _XT_INVERTED else ports & PortSet([(low, high)])
    if match != b"multiport":
        return ports
    kind, count, *numbers = struct.unpack_from("=BB15H15BB", data)
    if kind == _XT_SOURCES or numbers[-1]:
        return ports
    each = iter(zip(numbers[:count], numbers[15:]))
    return ports & PortSet((low, next(each, (low, 0))[0] if begins else low) for low, begins in each)


def _expressions(rule: bytes) -> Iterator[Tuple[bytes, Dict[int, bytes]]]:
    for kind, expressions in _attributes(rule):
        for _element, expression in _attributes(expressions) if kind == _EXPRESSIONS else ():
            parts = dict(_attributes(expression))
            yield _text(parts.get(_NAME)), dict(_attributes(parts.get(_DATA, b"")))


def _attributes(data: bytes) -> List[Tuple[int, bytes]]:
    found = []
    while len(data) > 3:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found.append((kind & _TYPE_MASK, data[4:length]))
        data = data[length + 3 & ~3 :]
    return found


def _text(value: Optional[bytes]) -> bytes:
    return (value or b"").rstrip(b"\0")


def _number(value: Optional[bytes]) -> int:
    return int.from_bytes(value or b"", "big")


def _port(data: bytes, is_last: bool = False) -> Optional[int]:
    """Of two bytes within NFTA_DATA_VALUE. is_last: they may be the last of several fields, which fill words."""
    value = dict(_attributes(data)).get(1, b"")
    if is_last and len(value) > 4:
        value = value[-4:-2]
    return _number(value) if len(value) == 2 else None

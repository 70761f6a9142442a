# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of iptables: what its matches and targets hold, and the table nat of iptables-legacy.

Matches and targets are the same in rules that iptables-nft writes (include/uapi/linux/netfilter/x_tables.h).
"""

import errno
import os
import socket
import struct
from typing import Iterator, NamedTuple, Optional, Tuple

from .._kernel.ports import MAX_PORT, PortSet

# struct nf_nat_ipv4_multi_range_compat, and struct nf_nat_range (linux/netfilter/nf_nat.h).
_MULTI_RANGE = struct.Struct("=II4s4s2s2s")
_RANGE = struct.Struct("=I16s16s2s2s")
_BY_ADDRESS, BY_PORT = 1, 2  # NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_PROTO_SPECIFIED

_XT_INVERTED, _XT_SOURCES = 2, 0  # of destination ports
EVERY_PORT = PortSet([(0, MAX_PORT)])
TARGETS = (b"SNAT", b"MASQUERADE")

# struct xt_entry_target and xt_entry_match: size, name, revision.
_ENTRY = struct.Struct("=H29sB")
_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES and those of IPv6
_TABLE = b"nat"
_INFO = struct.Struct("=32s13I")  # struct ipt_getinfo, with the size of the table at its end
_HEAD = struct.calcsize("32sI0Q")  # of struct ipt_get_entries


class NatRange(NamedTuple):
    """What SNAT or MASQUERADE says: addresses from and to, ports from and to, and flags (NF_NAT_RANGE_*)."""

    addresses: Optional[Tuple[bytes, bytes]]
    ports: Optional[Tuple[int, int]]
    flags: int


class LegacyRule(NamedTuple):
    """destination: address and mask. What it excludes by an exclamation mark is left out. chain: a number of it.

    is_exact: whether it has no condition but those.
    """

    family: int
    protocol: int
    destination: Optional[Tuple[bytes, bytes]]
    ports: PortSet
    target: bytes
    range: NatRange
    chain: int
    is_exact: bool


def nat_range(target: bytes, revision: int, data: bytes, family: int) -> NatRange:
    """Raises struct.error where the data are too short."""
    if family == socket.AF_INET and (target == b"MASQUERADE" or revision == 0):
        _number, flags, low, high, first, last = _MULTI_RANGE.unpack_from(data)
    else:
        flags, low, high, first, last = _RANGE.unpack_from(data)
        size = 4 if family == socket.AF_INET else 16
        low, high = low[:size], high[:size]
    return NatRange(
        (low, high) if flags & _BY_ADDRESS else None,
        (int.from_bytes(first, "big"), int.from_bytes(last, "big")) if flags & BY_PORT else None,
        flags,
    )


def matched_ports(match: bytes, data: bytes) -> PortSet:
    """The destination ports that a match of iptables is for: struct xt_tcp, xt_udp and xt_multiport_v1."""
    if match in (b"tcp", b"udp"):
        low, high, inverted = struct.unpack_from("=HH3xB" if match == b"tcp" else "=HHB", data, 4)
        return EVERY_PORT if inverted & _XT_INVERTED else PortSet([(low, high)])
    if match != b"multiport":
        return EVERY_PORT
    kind, count, *numbers = struct.unpack_from("=BB15H15BB", data)
    if kind == _XT_SOURCES or numbers[-1]:
        return EVERY_PORT
    each = iter(zip(numbers[:count], numbers[15:]))
    return PortSet((low, next(each, (low, 0))[0] if begins else low) for low, begins in each)


def is_exact(match: bytes, data: bytes) -> bool:
    """Whether matched_ports() is all that a match says."""
    if match == b"multiport":
        return matched_ports(match, data) != EVERY_PORT
    if match not in (b"tcp", b"udp"):
        return False
    # Source ports, and of TCP an option and flags; nothing inverted.
    rest = data[8:12] if match == b"tcp" else data[8:9]
    return data[:4] == b"\0\0\xff\xff" and not any(rest)


class Layout(NamedTuple):
    """Where a struct ipt_entry or ip6t_entry has what is needed."""

    family: int
    level: int
    names: str
    address: int
    protocol: int
    inverted: int
    offsets: int
    size: int


LAYOUTS = (
    Layout(socket.AF_INET, socket.IPPROTO_IP, "ip_tables_names", 4, 80, 83, 88, 112),
    Layout(socket.AF_INET6, socket.IPPROTO_IPV6, "ip6_tables_names", 16, 128, 132, 140, 168),
)
_ERROR = b"ERROR"
_INVERTED_DESTINATION, _INVERTED_PROTOCOL = 0x10, 0x40


def legacy_rules(proc: str = "/proc") -> Iterator[LegacyRule]:
    """Those with SNAT or MASQUERADE, where the table is loaded. Raises OSError where it may not be read."""
    for layout in LAYOUTS:
        chain = 0
        for entry, target_at in entries(read_table(layout, proc), layout):
            rule = _rule(entry, target_at, layout)
            if rule:
                yield rule._replace(chain=chain)
            # A chain ends with what becomes of all other packets, which has no condition, or where another one begins.
            chain += name(entry, target_at) in (b"", _ERROR)


def entries(table: bytes, layout: Layout) -> Iterator[Tuple[bytes, int]]:
    """Each rule, and where its target begins."""
    start = 0
    while start + layout.size + _ENTRY.size <= len(table):
        target_at, following = struct.unpack_from("=HH", table, start + layout.offsets)
        if not layout.size <= target_at <= following - _ENTRY.size:
            return
        yield table[start : start + following], target_at
        start += following


def matches(entry: bytes, target_at: int, layout: Layout) -> Iterator[Tuple[bytes, bytes]]:
    """Name and data of each match."""
    at = layout.size
    while at + _ENTRY.size <= target_at:
        length = max(_ENTRY.size, _ENTRY.unpack_from(entry, at)[0])
        yield name(entry, at), entry[at + _ENTRY.size : at + length]
        at += length


def _rule(entry: bytes, target_at: int, layout: Layout) -> Optional[LegacyRule]:
    revision, target = entry[target_at + _ENTRY.size - 1], name(entry, target_at)
    if target not in TARGETS:
        return None
    size, inverted = layout.address, entry[layout.inverted]
    address, mask = entry[size : 2 * size], entry[3 * size : 4 * size]
    protocol = struct.unpack_from("=H", entry, layout.protocol)[0]
    # Neither source nor interfaces; the masks of interfaces tell.
    ports, exact = (
        EVERY_PORT,
        not (inverted or any(entry[2 * size : 3 * size]) or any(entry[4 * size : layout.protocol])),
    )
    for match, data in matches(entry, target_at, layout):
        ports &= matched_ports(match, data)
        exact = exact and is_exact(match, data)
    return LegacyRule(
        layout.family,
        0 if inverted & _INVERTED_PROTOCOL else protocol,
        None if inverted & _INVERTED_DESTINATION or not any(mask) else (address, mask),
        ports,
        target,
        nat_range(target, revision, entry[target_at + _ENTRY.size :], layout.family),
        0,
        exact,
    )


def name(entry: bytes, at: int) -> bytes:
    """Of a match or target; the one that ends a chain has none."""
    return bytes(_ENTRY.unpack_from(entry, at)[1]).partition(b"\0")[0]


def read_table(layout: Layout, proc: str = "/proc") -> bytes:
    """The entries of the table nat; nothing where it is not loaded. Raises OSError where it may not be read."""
    try:
        with open(os.path.join(proc, "net", layout.names), "rb") as names:
            if _TABLE not in names.read().split():
                return b""
    except FileNotFoundError:
        return b""
    with socket.socket(layout.family, socket.SOCK_RAW, socket.IPPROTO_RAW) as kernel:
        info = _ask(kernel, layout.level, _GET_INFO, bytearray(_TABLE.ljust(_INFO.size, b"\0")))
        size = _INFO.unpack(info)[-1]
        head = struct.pack("32sI", _TABLE, size).ljust(_HEAD, b"\0")
        return bytes(_ask(kernel, layout.level, _GET_ENTRIES, bytearray(head + bytes(size)))[_HEAD:])


def _ask(kernel: socket.socket, level: int, option: int, request: bytearray) -> bytearray:
    """getsockopt() with a question in the buffer of the answer, which socket.getsockopt() cannot do."""
    try:
        import ctypes  # pylint: disable=import-outside-toplevel  # takes milliseconds, and hardly a host needs it
    except ImportError as error:  # not every Python has it
        raise OSError(errno.ENOSYS, str(error)) from error

    length = ctypes.c_uint32(len(request))
    buffer = (ctypes.c_char * len(request)).from_buffer(request)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(kernel.fileno(), level, option, buffer, ctypes.byref(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return request

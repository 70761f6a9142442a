# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that DNAT rules of iptables-legacy lead elsewhere (include/uapi/linux/netfilter_ipv4/ip_tables.h).

It takes CAP_NET_ADMIN. Nothing is loaded: only tables that are there already are read.
"""

import os
import socket
import struct
from typing import Iterator, NamedTuple, Tuple

from ..._kernel.ports import MAX_PORT, PortSet
from .nat_rules import Rules, xt_ports

_GET_INFO, _GET_ENTRIES = 64, 65
_TABLE = b"nat"
_INFO = struct.Struct("=32s13I")  # struct ipt_getinfo, with the size of the table at its end
_HEAD = struct.calcsize("32sI0Q")  # of struct ipt_get_entries
_MATCH = struct.Struct("H29sB")  # struct xt_entry_match, and xt_entry_target
_TARGETS = (b"DNAT", b"REDIRECT")


class _Family(NamedTuple):
    """names: where the kernel lists its tables. offsets, size: of target_offset in struct ipt_entry, and of that."""

    number: int
    level: int
    names: str
    offsets: int
    size: int


_FAMILIES = (
    _Family(socket.AF_INET, socket.IPPROTO_IP, "net/ip_tables_names", 88, struct.calcsize("84sI2HI2Q")),
    _Family(socket.AF_INET6, socket.IPPROTO_IPV6, "net/ip6_tables_names", 140, struct.calcsize("136sI2HI2Q")),
)


def find(proc: str = "/proc") -> Rules:
    ports, of_kubernetes = PortSet(), False
    for family in _FAMILIES:
        table = _read(family, proc)
        of_kubernetes |= b"KUBE-" in table
        for matches, target in _entries(table, family):
            ports |= translated(matches, target)
    return Rules(ports, of_kubernetes)


def translated(matches: bytes, target: bytes) -> PortSet:
    """The destination ports that a rule of DNAT or a redirection asks for; none where it does not ask."""
    if _MATCH.unpack_from(target)[1].rstrip(b"\0") not in _TARGETS:
        return PortSet()
    ports = PortSet([(0, MAX_PORT)])
    while len(matches) >= _MATCH.size:
        length, name, _revision = _MATCH.unpack_from(matches)
        ports = xt_ports(name.rstrip(b"\0"), matches[_MATCH.size : length], ports)
        matches = matches[max(length, _MATCH.size) :]
    return ports if len(ports) <= MAX_PORT else PortSet()


def _entries(table: bytes, family: _Family) -> Iterator[Tuple[bytes, bytes]]:
    """The matches and the target of each rule."""
    while len(table) >= family.size + _MATCH.size:
        target, following = struct.unpack_from("=HH", table, family.offsets)
        if not family.size <= target <= following - _MATCH.size:
            return
        yield table[family.size : target], table[target:following]
        table = table[following:]


def _read(family: _Family, proc: str) -> bytes:
    """The rules of a table; nothing where there is none, or no privilege: then files and sockets have to do."""
    try:
        with open(os.path.join(proc, family.names), "rb") as names:
            if _TABLE not in names.read().split():
                return b""
        with socket.socket(family.number, socket.SOCK_RAW, socket.IPPROTO_RAW) as kernel:
            info = _ask(kernel, family.level, _GET_INFO, bytearray(_TABLE.ljust(_INFO.size, b"\0")))
            size = _INFO.unpack(info)[-1]
            head = struct.pack("32sI", _TABLE, size).ljust(_HEAD, b"\0")
            return bytes(_ask(kernel, family.level, _GET_ENTRIES, bytearray(head + bytes(size)))[_HEAD:])
    except (ImportError, OSError):
        return b""


def _ask(kernel: socket.socket, level: int, option: int, answer: bytearray) -> bytearray:
    """As socket.getsockopt(), for options that read what is asked for from where the answer is to be."""
    import ctypes  # pylint: disable=import-outside-toplevel  # not every Python has it

    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint32(len(answer))
    place = (ctypes.c_char * len(answer)).from_buffer(answer)
    if libc.getsockopt(kernel.fileno(), level, option, place, ctypes.byref(size)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer

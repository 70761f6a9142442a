# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests tell the kernel's connection tracking: entries, by ctnetlink as conntrack(8) makes and changes them."""

from __future__ import annotations

import os
import socket
import struct

# include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h and nf_conntrack_common.h
_NETLINK_NETFILTER, _CT_NEW = 12, 1 << 8
_REQUEST_ACK, _CREATE = 0x1 | 0x4, 0x400
_HEADER = struct.Struct("=IHHII")
SEEN_REPLY, ASSURED, CONFIRMED, FIXED_TIMEOUT = 0x2, 0x4, 0x8, 0x400


class Ctnetlink:
    """That of the network namespace in which it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)

    def tell(self, family: int, entry: bytes, *, create: bool = False) -> None:
        """Change an entry that it has, or make one."""
        body = struct.pack("=BBH", family, 0, 0) + entry
        flags = _REQUEST_ACK | (_CREATE if create else 0)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _CT_NEW, flags, 1, 0) + body)
        code = struct.unpack_from("=i", self._socket.recv(4096), _HEADER.size)[0]
        assert code == 0, os.strerror(-code)

    def close(self) -> None:
        self._socket.close()


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def attribute(kind: int, value: bytes, *, nested: bool = False) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind | nested << 15) + value + bytes(-len(value) % 4)


def endpoints(kind: int, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Of TCP. kind: of the original direction (1), or of the reply (2)."""
    family = family_of(source[0])
    one, two = (1, 2) if family == socket.AF_INET else (3, 4)
    addresses = attribute(one, socket.inet_pton(family, source[0]))
    addresses += attribute(two, socket.inet_pton(family, destination[0]))
    ports = attribute(1, bytes([socket.IPPROTO_TCP]))
    ports += attribute(2, struct.pack(">H", source[1])) + attribute(3, struct.pack(">H", destination[1]))
    return attribute(kind, attribute(1, addresses, nested=True) + attribute(2, ports, nested=True), nested=True)


def status(bits: int) -> bytes:
    return attribute(3, struct.pack(">I", bits))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router that translates sources, in this network namespace: rules by nft or iptables, packets by hand.

Packets are sent with the addresses of clients, so that the kernel tracks and translates them as if it had forwarded
them; nobody answers. Entries of any age come through ctnetlink, as conntrack(8) makes them.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .debian import unpacked

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
ROOT = Path(__file__).resolve().parents[2]
# What Debian has of nft, where the machine has none: unpacked, not installed.
_PACKAGES = ("nftables", "libnftables1", "libnftnl11", "libjansson4", "libedit2", "libmnl0", "libxtables12")

WAN, WAN6 = "203.0.113.1", "2001:db8:1::1"
MORE = ("203.0.113.2", "203.0.113.3", "203.0.113.4")
SERVER, SERVER6 = "192.0.2.10", "2001:db8:2::10"
CLIENT, CLIENT6 = "10.1.0.2", "2001:db8:3::2"

_HEADER = struct.Struct("=IHHII")
_NEW, _FLAGS = 1 << 8, 0x1 | 0x4 | 0x400  # IPCTNL_MSG_CT_NEW; NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE


def find_nft() -> list[str]:
    """The command nft, from Debian's archive if need be."""
    if nft := shutil.which("nft"):
        return [nft]
    place = unpacked("nft", _PACKAGES)
    libraries = ":".join(str(one) for one in place.glob("usr/lib/*-linux-gnu*"))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(place / "usr/sbin/nft")]


class Router:
    """In a network namespace without anything but lo: a network in which nobody answers, and the addresses above."""

    def __init__(self) -> None:
        lines = ["link set lo up", "link set wan arp off up"]
        lines += [f"address add {one}/24 dev wan" for one in (WAN, *MORE)]
        lines += [f"address add {WAN6}/64 dev wan nodad", "route add 0.0.0.0/0 dev wan", "route add ::/0 dev wan"]
        for kind in ("dummy", "ifb"):  # both drop what is sent
            ready = subprocess.run(["ip", "link", "add", "wan", "type", kind], capture_output=True, check=False)
            if ready.returncode == 0:
                break
        else:
            pytest.skip("no device that drops what is sent can be made")
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        self._raw = {family: _raw_socket(family) for family in (socket.AF_INET, socket.AF_INET6)}
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)

    def rule(self, text: str, chain: str = "postrouting", family: str = "ip") -> None:
        """A rule of nft that translates sources."""
        table = f"table {family} nat {{ chain {chain} {{ type nat hook {chain} priority 100; {text}; }}; }}\n"
        self.nft(table)

    def nft(self, text: str) -> None:
        subprocess.run([*find_nft(), "-f", "-"], input=text, text=True, check=True)

    def connect(
        self,
        clients: Iterable[tuple[str, int]],
        to: tuple[str, int] = (SERVER, 443),
        protocol: int = TCP,
    ) -> int:
        """A first packet from each of the clients; how many of them the kernel dropped."""
        return sum(self._is_dropped(client, to, protocol) for client in clients)

    def _is_dropped(self, client: tuple[str, int], to: tuple[str, int], protocol: int) -> bool:
        try:
            self._raw[_family(to[0])].sendto(_packet(client, to, protocol), (to[0], 0))
        except PermissionError:  # what a hook drops
            return True
        return False

    def remember(
        self,
        clients: Iterable[tuple[str, int]],
        port: int,
        left: int,
        to: tuple[str, int] = (SERVER, 443),
        state: int = 7,
        source: str = WAN,
    ) -> None:
        """Entries of TCP in a state, with so many seconds left, translated to ports from `port` on."""
        for index, client in enumerate(clients):
            body = struct.pack("=BBH", _family(client[0]), 0, 0)
            body += _entry(client, to, (source, port + index), left, state)
            self._netlink.send(_HEADER.pack(_HEADER.size + len(body), _NEW, _FLAGS, 1, 0) + body)
            code = struct.unpack_from("=i", self._netlink.recv(4096), _HEADER.size)[0]
            assert code == 0, os.strerror(-code)

    def close(self) -> None:
        for one in (*self._raw.values(), self._netlink):
            one.close()


@contextlib.contextmanager
def router() -> Iterator[Router]:
    made = Router()
    try:
        yield made
    finally:
        made.close()


def many(number: int, first: int = 20000, address: str = CLIENT, each: int = 30000) -> Iterator[tuple[str, int]]:
    """So many endpoints of clients: ports one after another, and of as many addresses as that takes."""
    family = _family(address)
    base = int.from_bytes(socket.inet_pton(family, address), "big")
    size = 4 if family == socket.AF_INET else 16
    for index in range(number):
        host = socket.inet_ntop(family, (base + index // each).to_bytes(size, "big"))
        yield host, first + index % each


def same(number: int, port: int = 20000, address: str = CLIENT) -> Iterator[tuple[str, int]]:
    """As many addresses, all with the same port."""
    return many(number, port, address, each=1)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _raw_socket(family: socket.AddressFamily) -> socket.socket:
    one = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return one


def _packet(client: tuple[str, int], to: tuple[str, int], protocol: int) -> bytes:
    family = _family(to[0])
    source, destination = (socket.inet_pton(family, one[0]) for one in (client, to))
    if protocol == TCP:
        sequence = random.getrandbits(32)
        data = struct.pack("!HHIIBBHHH", client[1], to[1], sequence, 0, 5 << 4, 2, 1024, 0, 0)
        at = 16
    else:
        data, at = struct.pack("!HHHH", client[1], to[1], 8, 0), 6
    pseudo = source + destination + struct.pack("!IHBB", len(data), 0, 0, protocol)
    data = data[:at] + struct.pack("!H", _checksum(pseudo + data)) + data[at + 2 :]
    if family == socket.AF_INET:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0, 64, protocol, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, len(data), protocol, 64)
    return head + source + destination + data


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _attribute(kind: int, value: bytes, nested: bool = False) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind | nested << 15) + value + bytes(-len(value) % 4)


def _tuple(kind: int, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    family = _family(source[0])
    one, two = (1, 2) if family == socket.AF_INET else (3, 4)
    addresses = _attribute(one, socket.inet_pton(family, source[0]))
    addresses += _attribute(two, socket.inet_pton(family, destination[0]))
    ports = _attribute(1, bytes([TCP])) + b"".join(
        _attribute(number, struct.pack(">H", port)) for number, port in ((2, source[1]), (3, destination[1]))
    )
    return _attribute(kind, _attribute(1, addresses, True) + _attribute(2, ports, True), True)


def _entry(client: tuple[str, int], to: tuple[str, int], source: tuple[str, int], left: int, state: int) -> bytes:
    """With CTA_NAT_SRC, so that the kernel translates it and says so."""
    address = socket.inet_pton(_family(source[0]), source[0])
    low, high = (1, 2) if len(address) == 4 else (4, 5)
    port = struct.pack(">H", source[1])
    nat = _attribute(low, address) + _attribute(high, address)
    nat += _attribute(3, _attribute(1, port) + _attribute(2, port), True)
    seen_and_lasting = struct.pack(">I", 2 | 4 | 8)
    return (
        _tuple(1, client, to)
        + _tuple(2, to, client)
        + _attribute(3, seen_and_lasting)
        + _attribute(7, struct.pack(">I", left))
        + _attribute(4, _attribute(1, _attribute(1, bytes([state])), True), True)
        + _attribute(6, nat, True)
    )

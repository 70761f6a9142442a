# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router that translates sources, in this network namespace: rules by nft or iptables, packets by hand.

Packets are sent with the addresses of clients, so that the kernel tracks and translates them as if it had forwarded
them; nobody answers. Entries of any age come through ctnetlink, as conntrack(8) makes them.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .ctnetlink import ASSURED, CONFIRMED, SEEN_REPLY, Ctnetlink, attribute, endpoints, family_of, status
from .debian import unpacked

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
ROOT = Path(__file__).resolve().parents[2]
# What Debian has of nft, where the machine has none: unpacked, not installed.
_PACKAGES = (
    *("nftables", "libnftables1", "libnftnl11", "libjansson4", "libedit2", "libmnl0", "libxtables12"),
    *("libbsd0", "libmd0"),  # of libedit2
)

WAN, WAN6 = "203.0.113.1", "2001:db8:1::1"
MORE = ("203.0.113.2", "203.0.113.3", "203.0.113.4")
SERVER, SERVER6 = "192.0.2.10", "2001:db8:2::10"
CLIENT, CLIENT6 = "10.1.0.2", "2001:db8:3::2"


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
        self._tracking = Ctnetlink()

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
            self._raw[family_of(to[0])].sendto(_packet(client, to, protocol), (to[0], 0))
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
            entry = _entry(client, to, (source, port + index), left, state)
            self._tracking.tell(family_of(client[0]), entry, create=True)

    def close(self) -> None:
        for one in (*self._raw.values(), self._tracking):
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
    family = family_of(address)
    base = int.from_bytes(socket.inet_pton(family, address), "big")
    size = 4 if family == socket.AF_INET else 16
    for index in range(number):
        host = socket.inet_ntop(family, (base + index // each).to_bytes(size, "big"))
        yield host, first + index % each


def same(number: int, port: int = 20000, address: str = CLIENT) -> Iterator[tuple[str, int]]:
    """As many addresses, all with the same port."""
    return many(number, port, address, each=1)


def _raw_socket(family: socket.AddressFamily) -> socket.socket:
    one = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return one


def _packet(client: tuple[str, int], to: tuple[str, int], protocol: int) -> bytes:
    family = family_of(to[0])
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


def _entry(client: tuple[str, int], to: tuple[str, int], source: tuple[str, int], left: int, state: int) -> bytes:
    """With CTA_NAT_SRC, so that the kernel translates it and says so."""
    address = socket.inet_pton(family_of(source[0]), source[0])
    low, high = (1, 2) if len(address) == 4 else (4, 5)
    port = struct.pack(">H", source[1])
    nat = attribute(low, address) + attribute(high, address)
    nat += attribute(3, attribute(1, port) + attribute(2, port), nested=True)
    tcp = attribute(1, attribute(1, bytes([state])), nested=True)
    return (
        endpoints(1, client, to)
        + endpoints(2, to, client)
        + status(SEEN_REPLY | ASSURED | CONFIRMED)
        + attribute(7, struct.pack(">I", left))
        + attribute(4, tcp, nested=True)
        + attribute(6, nat, nested=True)
    )

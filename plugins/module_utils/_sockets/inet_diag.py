# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count TCP sockets by asking the kernel through NETLINK_SOCK_DIAG (include/uapi/linux/inet_diag.h).

No privilege is needed. What costs is the kernel's dump of its sockets, so one is for IPv4 and IPv6 together.
"""

import collections
import ipaddress
import socket
import struct
from typing import Counter, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from .._common.errors import SockDiagError
from .._kernel import netlink
from .._kernel.netlink import Netlink, NetlinkError
from .._kernel.ports import PortRange, PortSet, client_ports
from .._kernel.sockstat import read_sockstat
from .._kernel.tcp import LISTEN, SYN_SENT, TIME_WAIT, fold
from .aggregate import FIELDS, MESSAGE, OFFSET, Aggregator
from .socket_table import TICK_SHIFT, SocketTable

# The older of two requests: it alone answers for both families in one dump. Every kernel since 2.6.14 knows it.
_TCPDIAG_GETSOCK = 18
_REQ_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE

EVERY_STATE = (1 << 13) - 2
# Since Linux 6.8; older kernels ignore the bit. They search all ports that are in use for them, a fifth of the dump.
_BOUND_INACTIVE = 1 << 13
_EVERYTHING = EVERY_STATE | _BOUND_INACTIVE
_ONE_DUMP = (_EVERYTHING,)
_TWO_DUMPS = (_EVERYTHING & ~(1 << TIME_WAIT), 1 << TIME_WAIT)
# A live socket between others in TIME_WAIT ends a batch, which costs as much as 100 more sockets of a second dump.
_RARE = 100

_ATTEMPTS = 3
# The kernel does not count all at one moment, so that what a number proves has to be so again.
_READINGS = 2

# Where a message, unpacked, has what.
_FIELD = {name: place for place, (name, _form) in enumerate(FIELDS)}
# Sockets in one state are a batch.
ALIKE = (OFFSET["idiag_state"],)


class SockDiag(Netlink):
    def __init__(self) -> None:
        super().__init__(netlink.SOCK_DIAG)

    def __enter__(self) -> "SockDiag":
        return self

    def dump(self, states: int, bytecode: bytes = b"") -> Iterator[Tuple[bytes, int]]:
        """The sockets in these states (bit mask) as batches of messages of one length, and that length.

        bytecode: a program that picks out some of them.

        The kernel begins with listeners, then come ports bound but not connected, then the rest in no order.
        Raises SockDiagError, or OSError from the socket.
        """
        try:
            yield from self.runs(_TCPDIAG_GETSOCK, _request(states, bytecode), ALIKE)
        except NetlinkError as error:
            raise SockDiagError(f"NETLINK_SOCK_DIAG: {error}") from error


def read_sockets(port_range: PortRange, reserved: PortSet, shift: int = TICK_SHIFT) -> SocketTable:
    """Count the sockets of this network namespace. Raises SockDiagError where netlink does not answer.

    A dump that is not consistent is repeated; if it stays so, the table says that it is not complete.
    """
    try:
        counted = [read_sockstat() for _time in range(_READINGS)]
        dumps: Tuple[int, ...] = _ONE_DUMP if _are_live_rare(counted[0]) else _TWO_DUMPS
        if not any(map(_may_be_bound, counted)):
            dumps = tuple(states & ~_BOUND_INACTIVE for states in dumps)
        for _attempt in range(_ATTEMPTS):
            with SockDiag() as kernel:
                table = count_sockets(kernel, port_range, reserved, dumps, shift)
            if table.complete:
                break
        return table
    except OSError as error:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {error.strerror or error}") from error


def read_listening_ports() -> Set[int]:
    """Local ports of listeners alone, which costs nothing on a host with many sockets. Raises SockDiagError."""
    try:
        with SockDiag() as kernel:
            return {
                int.from_bytes(batch[at : at + 2], "big")
                for batch, length in kernel.dump(1 << LISTEN)
                for at in range(OFFSET["idiag_sport"], len(batch), length)
            }
    except OSError as error:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {error.strerror or error}") from error


class Unanswered(NamedTuple):
    """Connects to a destination that wait for an answer. again: those that have sent their SYN more than once."""

    address: str
    port: int
    number: int
    again: int


def read_unanswered() -> List[Unanswered]:
    """The most first. Raises SockDiagError."""
    found: Counter[Tuple[bytes, int]] = collections.Counter()
    again: Counter[Tuple[bytes, int]] = collections.Counter()
    try:
        with SockDiag() as kernel:
            for batch, length in kernel.dump(1 << SYN_SENT):
                for start in range(0, len(batch), length):
                    of = MESSAGE.unpack_from(batch, start)
                    size = 4 if of[_FIELD["idiag_family"]] == socket.AF_INET else 16
                    key = fold(of[_FIELD["idiag_dst"]][:size]), socket.ntohs(of[_FIELD["idiag_dport"]])
                    found[key] += 1
                    again[key] += of[_FIELD["idiag_retrans"]] > 0
    except OSError as error:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {error.strerror or error}") from error
    return [
        Unanswered(str(ipaddress.ip_address(key[0])), key[1], number, again[key])
        for key, number in sorted(found.items(), key=lambda one: (-one[1], one[0]))
    ]


def count_sockets(
    kernel: SockDiag,
    port_range: PortRange,
    reserved: PortSet,
    dumps: Sequence[int] = _TWO_DUMPS,
    shift: int = TICK_SHIFT,
) -> SocketTable:
    """Ask who holds ports, what is live and what is in TIME_WAIT. dumps: which states to ask for in each."""
    aggregator = Aggregator(client_ports(port_range, reserved), shift)
    for states in dumps:
        for batch, length in kernel.dump(states):
            aggregator.add(batch, length)
    table = aggregator.finish()
    table.complete = not kernel.interrupted
    return table


def _are_live_rare(sockstat: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether nearly all sockets of this network namespace are in TIME_WAIT. Live ones are counted host-wide."""
    tcp = sockstat.get("TCP", {})  # sandboxes have no sockstat
    return tcp.get("alloc", 0) * _RARE < tcp.get("tw", 0)


def _may_be_bound(sockstat: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether there can be a socket that neither listens nor is connected: one that exists, but is not in use.

    There are no more of them than the host has of TCP, and than programs have of all kinds in this network namespace.
    """
    if not {"sockets", "TCP"} <= set(sockstat):
        return True
    of_tcp, raw = (sum(sockstat.get(name + end, {}).get("inuse", 0) for end in ("", "6")) for name in ("TCP", "RAW"))
    return of_tcp < sockstat["TCP"]["alloc"] and of_tcp + raw < sockstat["sockets"]["used"]


def _request(states: int, bytecode: bytes) -> bytes:
    """A struct inet_diag_req for every socket in these states, or those of them that the program picks out."""
    body = struct.pack("=52xII", states, 0)
    if bytecode:
        body += struct.pack("=HH", 4 + len(bytecode), _REQ_BYTECODE) + bytecode
    return body

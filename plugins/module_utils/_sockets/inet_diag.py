# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count TCP sockets by asking the kernel through NETLINK_SOCK_DIAG (include/uapi/linux/inet_diag.h).

No privilege is needed. What costs is the kernel's dump of its sockets, so one is for IPv4 and IPv6 together.
"""

import errno
import os
import socket
import struct
import sys
from types import TracebackType
from typing import Iterator, Optional, Sequence, Set, Tuple, Type

from .._common.errors import SockDiagError
from .._kernel.counters import read_sockstat
from .._kernel.ports import PortRange, PortSet, client_ports
from .._kernel.tcp import LISTEN, TIME_WAIT
from .aggregate import OFFSET, Aggregator, count_same
from .socket_table import TICK_SHIFT, SocketTable

_NETLINK_SOCK_DIAG = 4
# The older of two requests: it alone answers for both families in one dump. Every kernel since 2.6.14 knows it.
_TCPDIAG_GETSOCK = 18
_REQ_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_NLMSG_ERROR, _NLMSG_DONE, _NLMSG_MIN_TYPE = 2, 3, 16
_NLM_F_DUMP_INTR = 0x10
_REQUEST_FLAGS = 0x301  # NLM_F_REQUEST | NLM_F_DUMP

EVERY_STATE = (1 << 13) - 2
_BOUND_INACTIVE = 1 << 13  # since Linux 6.8; older kernels ignore the bit
_EVERYTHING = EVERY_STATE | _BOUND_INACTIVE
_ONE_DUMP = (_EVERYTHING,)
_TWO_DUMPS = (_EVERYTHING & ~(1 << TIME_WAIT), 1 << TIME_WAIT)
# A live socket between others in TIME_WAIT ends a batch, which costs as much as 100 more sockets of a second dump.
_RARE = 100

# The kernel fills at most 32,448 bytes of a larger buffer.
_BUFFER_SIZE = 32768
_TIMEOUT_S = 10
_ATTEMPTS = 3

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# The bytes that differ where length, type, flags or state do: no value is so large that it needs a higher byte.
_LENGTH, _SHORT = ((0, 1), 0) if sys.byteorder == "little" else ((2, 3), 1)
_HEAD = (
    *(OFFSET["nlmsg_len"] + byte for byte in _LENGTH),
    OFFSET["nlmsg_type"] + _SHORT,
    OFFSET["nlmsg_flags"] + _SHORT,
    OFFSET["idiag_state"],
)


class SockDiag:
    """A netlink socket that answers dump requests. interrupted: an answer was inconsistent or incomplete."""

    def __init__(self) -> None:
        self.interrupted = False
        self._sequence = 0
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(_TIMEOUT_S)

    def __enter__(self) -> "SockDiag":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._socket.close()

    def dump(self, states: int, bytecode: bytes = b"") -> Iterator[Tuple[bytes, int]]:
        """The sockets in these states (bit mask) as batches of messages of one length, and that length.

        bytecode: a program that picks out some of them.

        The kernel begins with listeners, then come ports bound but not connected, then the rest in no order.
        Raises SockDiagError, or OSError from the socket.
        """
        self._sequence += 1
        self._socket.send(_request(states, self._sequence, bytecode))
        while True:
            try:
                received = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.interrupted = True  # answers were dropped, but more will come
                continue
            if received > len(self._buffer):
                self.interrupted = True  # cut short, so that what follows the cut is not known
                continue
            for batch, length in split(bytes(self._buffer[:received])):
                kind, flags = _HEADER.unpack_from(batch)[1:3]
                self.interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_error(batch)
                    return
                if kind >= _NLMSG_MIN_TYPE:
                    yield batch, length


def read_sockets(port_range: PortRange, reserved: PortSet, shift: int = TICK_SHIFT) -> SocketTable:
    """Count the sockets of this network namespace. Raises SockDiagError where netlink does not answer.

    A dump that is not consistent is repeated; if it stays so, the table says that it is not complete.
    """
    try:
        dumps = _ONE_DUMP if _are_live_rare() else _TWO_DUMPS
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


def split(answer: bytes) -> Iterator[Tuple[bytes, int]]:
    """Messages as batches of the same length, type, flags and state, and that length.

    Raises SockDiagError where a message claims more than there is.
    """
    while answer:
        length = _length(answer)
        end = length * max(1, min(count_same(answer[at::length]) for at in _HEAD))
        if end > len(answer):
            raise SockDiagError("NETLINK_SOCK_DIAG: an answer ends within a message")
        yield answer[:end], length
        answer = answer[end:]


def _length(answer: bytes) -> int:
    """The length of the first message, padded to 4 bytes."""
    if len(answer) < _HEADER.size:
        raise SockDiagError("NETLINK_SOCK_DIAG: an answer ends within a message")
    length = int(_HEADER.unpack_from(answer)[0])
    if not _HEADER.size <= length <= len(answer):
        raise SockDiagError(f"NETLINK_SOCK_DIAG: a message claims {length} bytes of {len(answer)}")
    return length + 3 & ~3


def _are_live_rare() -> bool:
    """Whether nearly all sockets of this network namespace are in TIME_WAIT. Live ones are counted host-wide."""
    tcp = read_sockstat().get("TCP", {})  # sandboxes have no sockstat
    return tcp.get("alloc", 0) * _RARE < tcp.get("tw", 0)


def _request(states: int, sequence: int, bytecode: bytes = b"") -> bytes:
    """A struct inet_diag_req for every socket in these states, in its netlink envelope."""
    body = struct.pack("=52xII", states, 0)
    if bytecode:
        body += struct.pack("=HH", 4 + len(bytecode), _REQ_BYTECODE) + bytecode
    return _HEADER.pack(_HEADER.size + len(body), _TCPDIAG_GETSOCK, _REQUEST_FLAGS, sequence, 0) + body


def _raise_error(message: bytes) -> None:
    """For an NLMSG_ERROR or NLMSG_DONE that carries one."""
    code = struct.unpack_from("=i", message, _HEADER.size)[0] if len(message) >= _HEADER.size + 4 else 0
    if code:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {os.strerror(-code)}")

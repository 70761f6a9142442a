# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count TCP sockets by asking the kernel through NETLINK_SOCK_DIAG (include/uapi/linux/inet_diag.h).

No privilege is needed for the own network namespace. TIME_WAIT sockets are selected by local port in the kernel and
counted without a Python statement per socket.
"""

import collections
import errno
import os
import socket
import struct
import sys
from types import TracebackType
from typing import Counter, Dict, Iterable, Iterator, Optional, Tuple, Type

from ._census import LISTEN, TIME_WAIT, Census, client_ports, fold
from ._port_range import MAX_PORT, PortRange, PortSet, range_ports

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_DUMP_INTR = 0x10
_REQUEST_FLAGS = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_INET_DIAG_REQ_BYTECODE = 1
_JMP, _S_GE, _S_LE = 1, 2, 3  # INET_DIAG_BC_*

_EVERY_STATE = (1 << 13) - 2
_BOUND_INACTIVE = 1 << 13  # since Linux 6.8; older kernels ignore the bit

# The kernel fills at most 32,448 bytes of a larger buffer.
_BUFFER_SIZE = 32768
_TIMEOUT_S = 10
_ATTEMPTS = 3

# Checking a filter costs the kernel the square of its length; a range is hardly ever cut into more pieces than this.
_MAX_SPANS = 64

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port id
# struct nlmsghdr and the head of struct inet_diag_msg: state, local port, remote port, both addresses.
_SOCKET: Dict[int, struct.Struct] = {
    socket.AF_INET: struct.Struct("=17xB2xHH4s12x4s"),
    socket.AF_INET6: struct.Struct("=17xB2xHH16s16s"),
}
# For TIME_WAIT alone: remote port, both addresses, and the milliseconds left, shifted right by 8 bits: those bytes
# lie at the same place in either byte order.
_TIME_WAIT_SOCKET: Dict[int, str] = {socket.AF_INET: "=22xH4s12x4s25xH", socket.AF_INET6: "=22xH16s16s13xH"}
_SMALLEST = _HEADER.size + 72  # with a struct inet_diag_msg and no attributes
# Where the low bytes of length, type and flags of a struct nlmsghdr are.
_LENGTH_AT, _TYPE_AT, _FLAGS_AT = (0, 4, 6) if sys.byteorder == "little" else (3, 5, 7)


class SockDiagError(Exception):
    """Netlink refused the request or broke off."""


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

    def dump(self, family: int, states: int, only: bytes = b"") -> Iterator[memoryview]:
        """Whole messages about the sockets in these states (bit mask), as many as the kernel put into one answer.

        The memory is used again for the next answer. Raises SockDiagError, or OSError from the socket.
        """
        self._sequence += 1
        self._socket.send(_request(family, states, only, self._sequence))
        done = False
        while not done:
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
            answer = self._buffer[:received]
            end, done, interrupted = _inspect(answer)
            self.interrupted |= interrupted
            if end:
                yield answer[:end]


def take_census(port_range: PortRange, reserved: PortSet) -> Census:
    """Count the sockets of this network namespace. Raises SockDiagError where netlink does not answer.

    A dump that is not consistent is repeated; if it stays so, the census says that it is not complete.
    """
    families = [socket.AF_INET] + ([socket.AF_INET6] if os.path.exists("/proc/net/tcp6") else [])
    try:
        for _attempt in range(_ATTEMPTS):
            with SockDiag() as kernel:
                census = count_sockets(kernel, families, port_range, reserved)
            if census.complete:
                break
        return census
    except OSError as error:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {error.strerror or error}") from error


def count_sockets(kernel: SockDiag, families: Iterable[int], port_range: PortRange, reserved: PortSet) -> Census:
    """Ask each family who holds ports, what is live and what is in TIME_WAIT."""
    census = Census()
    for family in families:
        _count_holders(kernel, family, census)
    clients = client_ports(port_range, reserved, census.listening | census.bound)
    spans = clients if len(clients.spans) <= _MAX_SPANS else range_ports(port_range)
    others = PortSet([(0, MAX_PORT)]) - spans
    for family in families:
        _count_live(kernel, family, clients, census)
        _count_time_wait(kernel, family, spans, census)
        census.states[TIME_WAIT] += sum(
            _messages_in(data) for data in kernel.dump(family, 1 << TIME_WAIT, port_filter(others))
        )
    census.complete = not kernel.interrupted
    return census


def _count_holders(kernel: SockDiag, family: int, census: Census) -> None:
    unpack = _SOCKET[family].unpack_from
    for data in kernel.dump(family, 1 << LISTEN | _BOUND_INACTIVE):
        for offset in _offsets(data):
            state, port = unpack(data, offset)[:2]
            (census.listening if state == LISTEN else census.bound).add(socket.ntohs(port))
            census.states[state] += 1


def _count_live(kernel: SockDiag, family: int, clients: PortSet, census: Census) -> None:
    unpack = _SOCKET[family].unpack_from
    for data in kernel.dump(family, _EVERY_STATE & ~(1 << LISTEN | 1 << TIME_WAIT)):
        for offset in _offsets(data):
            state, port, remote_port, source, address = unpack(data, offset)
            census.states[state] += 1
            if socket.ntohs(port) in clients:
                destination = fold(source), fold(address), socket.ntohs(remote_port)
                census.add_live(destination, socket.ntohs(port), state)


def _count_time_wait(kernel: SockDiag, family: int, ports: PortSet, census: Census) -> None:
    counts: Counter[Tuple[int, bytes, bytes, int]] = collections.Counter()
    head = struct.Struct(_TIME_WAIT_SOCKET[family])
    record = head
    for data in kernel.dump(family, 1 << TIME_WAIT, port_filter(ports)):
        stride = _stride(data)
        if stride:
            if record.size != stride:
                record = struct.Struct(f"{_TIME_WAIT_SOCKET[family]}{stride - head.size}x")
            counts.update(record.iter_unpack(data))
        else:
            counts.update(head.unpack_from(data, offset) for offset in _offsets(data))
        if census.wants_samples:
            _sample(family, data, census)
    for (remote_port, source, address, tick), number in counts.items():
        census.add_time_wait((fold(source), fold(address), socket.ntohs(remote_port)), tick, number)
        census.states[TIME_WAIT] += number


def _sample(family: int, data: memoryview, census: Census) -> None:
    unpack = _SOCKET[family].unpack_from
    for offset in _offsets(data):
        _state, port, remote_port, source, address = unpack(data, offset)
        census.add_sample((fold(source), fold(address), socket.ntohs(remote_port)), socket.ntohs(port))


def port_filter(ports: PortSet) -> bytes:
    """Machine code for the kernel's socket filter: local port in one of the spans (inet_diag_bc_run).

    An operation names how far to jump if it holds and if not. To arrive at the end is to pass, behind it to fail.
    The first jump takes 8 bits and leads to the next operation only: the kernel wants every target on that path.
    """
    span_size = 20
    code = b""
    left = len(ports.spans) * span_size - 4  # the last span needs no jump to the end
    if not ports.spans:
        return _operation(_S_GE, 8, 12, MAX_PORT) + _operation(_S_LE, 8, 12, 0)
    for low, high in ports.spans:
        is_last = left < span_size
        code += _operation(_S_GE, 8, left + 4 if is_last else span_size, low)
        code += _operation(_S_LE, 8, left - 8 + 4 if is_last else span_size - 8, high)
        if not is_last:
            code += struct.pack("=BBH", _JMP, 4, left - 16)
        left -= span_size
    return code


def _operation(code: int, if_true: int, if_false: int, port: int) -> bytes:
    return struct.pack("=BBHBBH", code, if_true, if_false, 0, 0, port)


def _request(family: int, states: int, only: bytes, sequence: int) -> bytes:
    """A struct inet_diag_req_v2 with an optional filter, in its netlink envelope."""
    body = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, states)
    if only:
        body += struct.pack("=HH", 4 + len(only), _INET_DIAG_REQ_BYTECODE) + only
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_FLAGS, sequence, 0) + body


def _inspect(answer: memoryview) -> Tuple[int, bool, bool]:
    """Where the messages about sockets end, whether the dump is over, and whether the kernel calls it inconsistent.

    Raises SockDiagError for an error message.
    """
    stride = _stride(answer)
    if stride:
        return len(answer), False, any(flags & _NLM_F_DUMP_INTR for flags in set(bytes(answer[_FLAGS_AT::stride])))
    offset = 0
    interrupted = False
    while offset < len(answer):
        length, kind, flags = _message(answer, offset)
        interrupted |= bool(flags & _NLM_F_DUMP_INTR)
        if kind in (_NLMSG_ERROR, _NLMSG_DONE):
            code = struct.unpack_from("=i", answer, offset + _HEADER.size)[0] if length >= _HEADER.size + 4 else 0
            if code:
                raise SockDiagError(f"NETLINK_SOCK_DIAG: {os.strerror(-code)}")
            return offset, True, interrupted
        offset += length
    return offset, False, interrupted


def _message(answer: memoryview, offset: int) -> Tuple[int, int, int]:
    """Length (padded to 4 bytes), type and flags of the message at offset."""
    if len(answer) - offset < _HEADER.size:
        raise SockDiagError("NETLINK_SOCK_DIAG: an answer ends within a message")
    length, kind, flags = _HEADER.unpack_from(answer, offset)[:3]
    if not _HEADER.size <= length <= len(answer) - offset:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: a message claims {length} bytes of {len(answer) - offset}")
    return length + 3 & ~3, kind, flags


def _stride(data: memoryview) -> int:
    """The length of each message if all are about sockets and alike, else 0."""
    if len(data) < _HEADER.size:
        return 0
    length, kind = _HEADER.unpack_from(data)[:2]
    if kind != _SOCK_DIAG_BY_FAMILY or length % 4 or not _SMALLEST <= length <= 255 or len(data) % length:
        return 0
    number = len(data) // length
    alike = bytes(data[_LENGTH_AT::length]) == bytes((length,)) * number
    return length if alike and bytes(data[_TYPE_AT::length]) == bytes((kind,)) * number else 0


def _messages_in(data: memoryview) -> int:
    stride = _stride(data)
    return len(data) // stride if stride else sum(1 for _offset in _offsets(data))


def _offsets(data: memoryview) -> Iterator[int]:
    offset = 0
    while offset < len(data):
        length = _message(data, offset)[0]
        if length < _SMALLEST:
            raise SockDiagError(f"NETLINK_SOCK_DIAG: a message about a socket has only {length} bytes")
        yield offset
        offset += length

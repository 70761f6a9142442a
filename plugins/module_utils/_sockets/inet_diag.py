# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count TCP sockets by asking the kernel through NETLINK_SOCK_DIAG (include/uapi/linux/inet_diag.h).

No privilege is needed for the own network namespace. What costs is the kernel's walk over its table of sockets, so it
is asked once for IPv4 and IPv6 together, and what it tells about TIME_WAIT sockets is taken column by column, without
a Python statement per socket.
"""

import collections
import errno
import functools
import itertools
import operator
import os
import socket
import struct
import sys
from types import TracebackType
from typing import Any, Callable, DefaultDict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Type

from .._errors import SockDiagError
from .._kernel.ports import MAX_PORT, PortRange, PortSet, range_ports
from . import procfs
from .socket_table import CLOSE, LISTEN, MAX_TICK, TIME_WAIT, Census, Destination, fold

_NETLINK_SOCK_DIAG = 4
# The older of two requests: it alone answers for both families in one walk. Every kernel since 2.6.14 knows it.
_TCPDIAG_GETSOCK = 18
_NLMSG_ERROR, _NLMSG_DONE, _NLMSG_MIN_TYPE = 2, 3, 16
_NLM_F_DUMP_INTR = 0x10
_REQUEST_FLAGS = 0x301  # NLM_F_REQUEST | NLM_F_DUMP

_EVERY_STATE = (1 << 13) - 2
_BOUND_INACTIVE = 1 << 13  # since Linux 6.8; older kernels ignore the bit
_EVERYTHING = _EVERY_STATE | _BOUND_INACTIVE
_ONE_WALK = (_EVERYTHING,)
_TWO_WALKS = (_EVERYTHING & ~(1 << TIME_WAIT), 1 << TIME_WAIT)
# A live socket between others that are in TIME_WAIT costs about as much as a second walk over this many of those.
_RARE = 100

# The kernel fills at most 32,448 bytes of a larger buffer.
_BUFFER_SIZE = 32768
_TIMEOUT_S = 10
_ATTEMPTS = 3

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port id
# struct nlmsghdr and the head of struct inet_diag_msg: family, local port; remote port and both addresses.
_SOCKET = struct.Struct("=16xB3xH34s")
# Of the same, what tells one destination from another within a family: remote port and both addresses.
_KEY = "22x34s"
_KEY_END = struct.calcsize(_KEY)
_SMALLEST = _HEADER.size + 72  # with a struct inet_diag_msg and no attributes
_FAMILY_AT, _STATE_AT, _PORT_AT, _LEFT_AT = 16, 17, 20, 68
# Where the low bytes of length (two), type and flags of a struct nlmsghdr are, and the second and third of 32 bits.
_HEAD_AT, _TICK_BYTES = ((0, 1, 4, 6), (1, 2)) if sys.byteorder == "little" else ((3, 2, 5, 7), (2, 1))


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

    def dump(self, states: int) -> Iterator[Tuple[bytes, int]]:
        """The sockets in these states (bit mask) as runs of messages of one length, and that length.

        The kernel begins with listeners, then come ports bound but not connected, then the rest in no order.
        Raises SockDiagError, or OSError from the socket.
        """
        self._sequence += 1
        self._socket.send(_request(states, self._sequence))
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
            for run, length in split(bytes(self._buffer[:received])):
                kind, flags = _HEADER.unpack_from(run)[1:3]
                self.interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_error(run)
                    return
                if kind >= _NLMSG_MIN_TYPE:
                    yield run, length


def take_census(port_range: PortRange, reserved: PortSet) -> Census:
    """Count the sockets of this network namespace. Raises SockDiagError where netlink does not answer.

    A dump that is not consistent is repeated; if it stays so, the census says that it is not complete.
    """
    try:
        walks = _ONE_WALK if _are_live_rare() else _TWO_WALKS
        for _attempt in range(_ATTEMPTS):
            with SockDiag() as kernel:
                census = count_sockets(kernel, port_range, reserved, walks)
            if census.complete:
                break
        return census
    except OSError as error:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {error.strerror or error}") from error


def count_sockets(
    kernel: SockDiag, port_range: PortRange, reserved: PortSet, walks: Sequence[int] = _TWO_WALKS
) -> Census:
    """Ask who holds ports, what is live and what is in TIME_WAIT. walks: which states to ask for in each dump."""
    tally = _Tally(range_ports(port_range) - reserved)
    for states in walks:
        for run, length in kernel.dump(states):
            tally.add(run, length)
    census = tally.finish()
    census.complete = not kernel.interrupted
    return census


class _Tally:
    """Sockets on their way into a census, in little memory however many there are."""

    def __init__(self, clients: PortSet) -> None:
        self._census = Census()
        is_client = bytearray(MAX_PORT + 1)
        for low, high in clients.spans:
            is_client[low : high + 1] = b"\1" * (high - low + 1)
        # By the high byte of a port: whether all of those 256 are clients'. It saves looking up each one.
        self._is_whole_page = bytearray(0 not in is_client[page : page + 256] for page in range(0, MAX_PORT, 256))
        self._is_client = _by_network_order(is_client)
        # By family and by key: a byte for each socket in TIME_WAIT.
        self._ticks: DefaultDict[int, DefaultDict[bytes, bytearray]] = collections.defaultdict(
            functools.partial(collections.defaultdict, bytearray)
        )

    def add(self, run: bytes, length: int) -> None:
        """Count a run of messages of this length, all about sockets in one state."""
        if length < _SMALLEST:
            raise SockDiagError(f"NETLINK_SOCK_DIAG: a message about a socket has only {length} bytes")
        state = run[_STATE_AT]
        self._census.states[state] += len(run) // length
        if state in (LISTEN, CLOSE):
            self._add_holders(run, length, self._census.listening if state == LISTEN else self._census.bound)
        elif state == TIME_WAIT:
            self._add_time_wait(run, length)
        else:
            for destination, port in self._clients(run, length):
                self._census.add_live(destination, port, state)

    def finish(self) -> Census:
        for family, found in self._ticks.items():
            while found:
                key, ticks = found.popitem()
                self._census.time_wait.add(_destination(family, key), ticks)
        return self._census

    def _add_holders(self, run: bytes, length: int, holders: Set[int]) -> None:
        """No client can have the port of a holder. Those come first, so that nothing was counted there yet."""
        for offset in range(0, len(run), length):
            port = _SOCKET.unpack_from(run, offset)[1]
            holders.add(socket.ntohs(port))
            self._is_client[port] = 0
            self._is_whole_page[run[offset + _PORT_AT]] = 0

    def _add_time_wait(self, run: bytes, length: int) -> None:
        """Each step is one call for the whole run."""
        families = run[_FAMILY_AT::length]
        ports = memoryview(run).cast("H")[_PORT_AT // 2 :: length // 2]
        columns: List[Iterable[Any]] = [families, _keys_in(len(families), length)(run), _ticks(run, length), ports]
        if 0 in run[_PORT_AT::length].translate(self._is_whole_page):
            chosen = bytes(map(self._is_client.__getitem__, ports))
            if 1 not in chosen:
                return
            columns = [itertools.compress(column, chosen) for column in columns]
        each_family, keys, ticks, clients = columns
        if _alike(families) == len(families):
            found = map(self._ticks[families[0]].__getitem__, keys)
        else:
            found = map(operator.getitem, map(self._ticks.__getitem__, each_family), keys)
        collections.deque(map(bytearray.append, found, ticks), maxlen=0)
        self._census.add_sample(map(socket.ntohs, clients))

    def _clients(self, run: bytes, length: int) -> Iterator[Tuple[Destination, int]]:
        """Destination and local port of the sockets on client ports."""
        for offset in range(0, len(run), length):
            family, port, rest = _SOCKET.unpack_from(run, offset)
            if self._is_client[port]:
                yield _destination(family, rest), socket.ntohs(port)


def split(answer: bytes) -> Iterator[Tuple[bytes, int]]:
    """Messages as runs of the same length, type, flags and state, and that length.

    Raises SockDiagError where a message claims more than there is.
    """
    while answer:
        length = _length(answer)
        alike = min(_alike(answer[at::length]) for at in (*_HEAD_AT, _STATE_AT))
        end = length * max(1, alike)
        if end > len(answer):
            raise SockDiagError("NETLINK_SOCK_DIAG: an answer ends within a message")
        yield answer[:end], length
        answer = answer[end:]


def _alike(column: bytes) -> int:
    """How many bytes at the start are the same. All are as a rule, which is quick to see."""
    first = column[:1]
    return len(column) if column == first * len(column) else len(column) - len(column.lstrip(first))


def _length(answer: bytes) -> int:
    """The length of the first message, padded to 4 bytes."""
    if len(answer) < _HEADER.size:
        raise SockDiagError("NETLINK_SOCK_DIAG: an answer ends within a message")
    length = int(_HEADER.unpack_from(answer)[0])
    if not _HEADER.size <= length <= len(answer):
        raise SockDiagError(f"NETLINK_SOCK_DIAG: a message claims {length} bytes of {len(answer)}")
    return length + 3 & ~3


@functools.lru_cache(maxsize=16)
def _keys_in(number: int, length: int) -> Callable[[bytes], Tuple[bytes, ...]]:
    """What takes the keys out of a run of so many messages: one call for all costs half of struct.iter_unpack()."""
    return struct.Struct("=" + number * f"{_KEY}{length - _KEY_END}x").unpack


def _ticks(run: bytes, length: int) -> bytes:
    """What is left of the timers in ticks. More than 65 s, which some patched kernels have, are taken for the most."""
    low, high = (run[_LEFT_AT + at :: length] for at in _TICK_BYTES)
    return low if high.count(0) == len(high) else bytes(MAX_TICK if above else tick for tick, above in zip(low, high))


@functools.lru_cache(maxsize=1024)
def _destination(family: int, rest: bytes) -> Destination:
    size = 4 if family == socket.AF_INET else 16
    return fold(rest[2 : 2 + size]), fold(rest[18 : 18 + size]), int.from_bytes(rest[:2], "big")


def _by_network_order(table: bytearray) -> bytearray:
    """The same table for ports as they are read from a message."""
    return bytearray().join(table[low::256] for low in range(256)) if sys.byteorder == "little" else table


def _are_live_rare() -> bool:
    """Whether nearly all sockets of this network namespace are in TIME_WAIT. Live ones are counted host-wide."""
    tcp = procfs.read_sockstat()["TCP"]
    return tcp["alloc"] * _RARE < tcp["tw"]


def _request(states: int, sequence: int) -> bytes:
    """A struct inet_diag_req for every socket in these states, in its netlink envelope."""
    body = struct.pack("=52xII", states, 0)
    return _HEADER.pack(_HEADER.size + len(body), _TCPDIAG_GETSOCK, _REQUEST_FLAGS, sequence, 0) + body


def _raise_error(message: bytes) -> None:
    """For an NLMSG_ERROR or NLMSG_DONE that carries one."""
    code = struct.unpack_from("=i", message, _HEADER.size)[0] if len(message) >= _HEADER.size + 4 else 0
    if code:
        raise SockDiagError(f"NETLINK_SOCK_DIAG: {os.strerror(-code)}")

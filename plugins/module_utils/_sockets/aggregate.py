# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From messages about sockets to a table of counts, in little memory and time however many sockets there are.

Sockets in TIME_WAIT are counted column by column, without a Python statement for each: six to nine times as fast as
the plain loop in tests/unit/_sockets/plain.py, which says what has to come out.
"""

import array
import collections
import functools
import itertools
import operator
import socket
import struct
import sys
from typing import Any, Callable, DefaultDict, Iterable, Iterator, List, Tuple

from .._common.errors import SockDiagError
from .._kernel.netlink import count_same
from .._kernel.ports import MAX_PORT, PortSet
from .._kernel.tcp import CLOSE, LISTEN, SYN_SENT, TIME_WAIT, Destination, fold
from .socket_table import MAX_TICK, PORT_HIGH, PORT_LOW, RECORD, RECORD_SIZE, TICK, TICK_SHIFT, SocketTable

# struct nlmsghdr (include/uapi/linux/netlink.h), then struct inet_diag_msg (inet_diag.h): each field and its format.
# Ports and addresses are in network order, the rest is in that of the host.
FIELDS = (
    ("nlmsg_len", "I"),
    ("nlmsg_type", "H"),
    ("nlmsg_flags", "H"),
    ("nlmsg_seq", "I"),
    ("nlmsg_pid", "I"),
    ("idiag_family", "B"),
    ("idiag_state", "B"),
    ("idiag_timer", "B"),
    ("idiag_retrans", "B"),
    ("idiag_sport", "H"),
    ("idiag_dport", "H"),
    ("idiag_src", "16s"),
    ("idiag_dst", "16s"),
    ("idiag_if", "I"),
    ("idiag_cookie", "8s"),
    ("idiag_expires", "I"),  # milliseconds
    ("idiag_rqueue", "I"),
    ("idiag_wqueue", "I"),
    ("idiag_uid", "I"),
    ("idiag_inode", "I"),
)
MESSAGE = struct.Struct("=" + "".join(form for _name, form in FIELDS))
OFFSET = {
    name: struct.calcsize("=" + "".join(form for _name, form in FIELDS[:number]))
    for number, (name, _form) in enumerate(FIELDS)
}

_FAMILY, _STATE, _PORT, _EXPIRES = (OFFSET[f"idiag_{name}"] for name in ("family", "state", "sport", "expires"))
_RETRANS = OFFSET["idiag_retrans"]
# What tells one destination from another within a family: remote port and both addresses, which stand side by side.
_KEY, _KEY_END = OFFSET["idiag_dport"], OFFSET["idiag_if"]
_KEY_FORMAT = f"{_KEY}x{_KEY_END - _KEY}s"
_SOCKET = struct.Struct(f"={_FAMILY}xB{_PORT - _FAMILY - 1}xH{_KEY_END - _KEY}s")  # family, local port, key
# Of 32 bits, the second byte and the third: a tick is 256 ms.
_TICK, _ABOVE = (1, 2) if sys.byteorder == "little" else (2, 1)


class Aggregator:
    """Counts batches of messages: all of one length, and about sockets in one state."""

    def __init__(self, clients: PortSet, shift: int = TICK_SHIFT) -> None:
        self._table = SocketTable(shift)
        is_client = bytearray(MAX_PORT + 1)
        for low, high in clients.spans:
            is_client[low : high + 1] = b"\1" * (high - low + 1)
        # By the high byte of a port: whether all of those 256 are clients'. It saves looking up each one.
        self._is_whole_page = bytearray(0 not in is_client[page : page + 256] for page in range(0, MAX_PORT, 256))
        self._is_client = _by_network_order(is_client)
        # By family and by key: a record for each socket in TIME_WAIT.
        self._records: DefaultDict[int, DefaultDict[bytes, Any]] = collections.defaultdict(
            functools.partial(collections.defaultdict, functools.partial(array.array, RECORD))
        )

    def add(self, batch: bytes, length: int) -> None:
        """Listeners and bound ports have to come first, as the kernel sends them. length: of each message."""
        if length < MESSAGE.size:
            raise SockDiagError(f"NETLINK_SOCK_DIAG: a message about a socket has only {length} bytes")
        state = batch[_STATE]
        self._table.states[state] += len(batch) // length
        if state in (LISTEN, CLOSE):
            self._add_holders(batch, length, state == LISTEN)
        elif state == TIME_WAIT:
            self._add_time_wait(batch, length)
        else:
            for destination, port in self._clients(batch, length):
                self._table.add_live(destination, state, port)
        if state == SYN_SENT:
            self._add_resent(batch, length)

    def finish(self) -> SocketTable:
        for family, found in self._records.items():
            while found:
                key, records = found.popitem()
                self._table.time_wait.add(_destination(family, key), records)
        return self._table

    def _add_holders(self, batch: bytes, length: int, listens: bool) -> None:
        """No client can have the port of a holder. Those come first, so that nothing was counted there yet."""
        for offset in range(0, len(batch), length):
            family, port, key = _SOCKET.unpack_from(batch, offset)
            self._table.add_holder(_destination(family, key)[0], socket.ntohs(port), listens)
            self._is_client[port] = 0
            self._is_whole_page[batch[offset + _PORT]] = 0

    def _add_time_wait(self, batch: bytes, length: int) -> None:
        """Each step is one call for the whole batch."""
        families = batch[_FAMILY::length]
        keys = _keys_in(len(families), length)(batch)
        columns: List[Iterable[Any]] = [families, keys, self._records_in(batch, length)]
        if 0 in batch[_PORT::length].translate(self._is_whole_page):
            ports = memoryview(batch).cast("H")[_PORT // 2 :: length // 2]
            chosen = bytes(map(self._is_client.__getitem__, ports))
            if 1 not in chosen:
                return
            columns = [itertools.compress(column, chosen) for column in columns]
        each_family, each_key, records = columns
        if count_same(families) == len(families):
            found = map(self._records[families[0]].__getitem__, each_key)
        else:
            found = map(operator.getitem, map(self._records.__getitem__, each_family), each_key)
        collections.deque(map(array.array.append, found, records), maxlen=0)

    def _add_resent(self, batch: bytes, length: int) -> None:
        for offset in range(0, len(batch), length):
            if batch[offset + _RETRANS]:
                for destination, _port in self._clients(batch[offset : offset + length], length):
                    self._table.syn_resent[destination] += 1

    def _records_in(self, batch: bytes, length: int) -> Iterable[int]:
        """What record() makes of each socket."""
        columns = bytearray(len(batch) // length * RECORD_SIZE)
        columns[TICK::RECORD_SIZE] = self._ticks_in(batch, length)
        columns[PORT_LOW::RECORD_SIZE] = batch[_PORT + 1 :: length]
        columns[PORT_HIGH::RECORD_SIZE] = batch[_PORT::length]
        return memoryview(columns).cast("I")

    def _ticks_in(self, batch: bytes, length: int) -> bytes:
        """What is left of the timers, in ticks. More than 65 s have only some patched kernels."""
        time_wait = self._table.time_wait
        low, high = batch[_EXPIRES + _TICK :: length], batch[_EXPIRES + _ABOVE :: length]
        if time_wait.shift == TICK_SHIFT and high.count(0) == len(high):
            return low
        left = memoryview(batch).cast("I")[_EXPIRES // 4 :: length // 4]
        ticks = [ms >> time_wait.shift for ms in left]
        time_wait.cut |= max(ticks) > MAX_TICK
        return bytes(min(tick, MAX_TICK) for tick in ticks)

    def _clients(self, batch: bytes, length: int) -> Iterator[Tuple[Destination, int]]:
        """Destination and local port of the sockets on client ports."""
        for offset in range(0, len(batch), length):
            family, port, key = _SOCKET.unpack_from(batch, offset)
            if self._is_client[port]:
                yield _destination(family, key), socket.ntohs(port)


@functools.lru_cache(maxsize=16)
def _keys_in(number: int, length: int) -> Callable[[bytes], Tuple[bytes, ...]]:
    """What takes the keys out of so many messages: one call for all costs half of struct.iter_unpack()."""
    return struct.Struct("=" + number * f"{_KEY_FORMAT}{length - _KEY_END}x").unpack


@functools.lru_cache(maxsize=1024)
def _destination(family: int, key: bytes) -> Destination:
    size = 4 if family == socket.AF_INET else 16
    return fold(key[2 : 2 + size]), fold(key[18 : 18 + size]), int.from_bytes(key[:2], "big")


def _by_network_order(table: bytearray) -> bytearray:
    """The same table for ports as they are read from a message."""
    return bytearray().join(table[low::256] for low in range(256)) if sys.byteorder == "little" else table

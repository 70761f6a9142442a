# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read connection tracking through ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h).

Messages of one length have their attributes at the same places, as a rule. That is looked up once and checked for all
of a batch; what is needed is taken from columns, without a Python statement for each message. Where it does not hold,
each message is read attribute by attribute. Needs CAP_NET_ADMIN.
"""

import array
import collections
import functools
import socket
import struct
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._kernel.netlink import HEADER, NETFILTER, Netlink, NetlinkError, count_same, spans
from .entries import LEFT, NO_TIMEOUT, PORT, RECORD, RECORD_SIZE, STATE, STATUS, TCP, UDP, Entries, Entry, Key

_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_BODY = HEADER.size + 4  # after struct nfgenmsg, which begins with the family

_REPLY, _STATUS, _PROTOINFO, _TIMEOUT, _ZONE = 2, 3, 4, 7, 18  # CTA_*
_IP, _PROTO, _TUPLE_ZONE = 1, 2, 3  # CTA_TUPLE_*
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # CTA_PROTO_*
_OF_TCP, _OF_TCP_STATE = 1, 1  # CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE
_NESTED = {
    (): (_REPLY, _PROTOINFO),
    (_REPLY,): (_IP, _PROTO),
    (_PROTOINFO,): (_OF_TCP,),
}
_SOURCE, _DESTINATION = (1, 3), (2, 4)  # CTA_IP_V4_SRC and CTA_IP_V6_SRC, ..._DST

# A batch is looked at when it has so many messages: what it costs for each column is then little for each message.
_BATCH = 512


def read() -> Entries:
    """All entries of TCP and UDP in this network namespace. Raises OSError where they may not be read."""
    found = Entries("netlink")
    with Netlink(NETFILTER) as kernel:
        try:
            collect(kernel.runs(_GET, bytes(4)), found)
        except NetlinkError as error:
            raise OSError(error.number, str(error)) from error
    return found


def collect(runs: Iterator[Tuple[bytes, int]], found: Entries) -> None:
    batches: Dict[int, List[bytes]] = collections.defaultdict(list)
    waiting: Dict[int, int] = collections.defaultdict(int)
    reader = _Reader(found)
    for run, length in runs:
        batches[length].append(run)
        waiting[length] += len(run) // length
        if waiting[length] >= _BATCH:
            reader.add(b"".join(batches.pop(length)), length)
            waiting[length] = 0
    for length, parts in batches.items():
        reader.add(b"".join(parts), length)
    reader.finish()


class _Place(NamedTuple):
    """Where a message has what is needed of the reply; None where it lacks that."""

    family: int
    protocol: int
    protocol_at: int
    source: int
    destination: int
    source_port: int
    port: int
    zone: Optional[int]
    state: Optional[int]
    status: Optional[int]
    left: Optional[int]

    @property
    def is_plain(self) -> bool:
        """Whether addresses, protocol and ports follow one another, as all kernels write them."""
        size = _size(self.family)
        steps = self.destination - self.source, self.protocol_at - self.destination, self.source_port - self.protocol_at
        return steps == (size + 4, size + 8, 8)


class _Layout(NamedTuple):
    """fixed: the bytes that tell it, the same in each message that has the same in the same places.

    place: None where a message is not about an entry with ports.
    """

    fixed: Tuple[int, ...]
    place: Optional[_Place]


class _Reader:
    def __init__(self, found: Entries) -> None:
        self._found = found
        # By family, and by what is between the source of a reply and its port: a record for each entry.
        self._records: Dict[int, Any] = collections.defaultdict(
            functools.partial(collections.defaultdict, functools.partial(array.array, RECORD))
        )

    def add(self, batch: bytes, length: int) -> None:
        fixed, place = _layout(batch[:length])
        if (place is None or place.is_plain) and _all_alike(batch, length, fixed):
            if place and place.protocol in (TCP, UDP):
                self._add_columns(batch, length, place)
            return
        for start in range(0, len(batch), length):
            self._add_one(batch[start : start + length])

    def finish(self) -> None:
        for family, found in self._records.items():
            size = _size(family)
            for part, records in found.items():
                raw, zone = part if isinstance(part, tuple) else (part, b"\0\0")
                self._found.records[_key(raw, zone, size)].extend(records)
        self._records.clear()

    def _add_columns(self, batch: bytes, length: int, place: _Place) -> None:
        number = len(batch) // length
        columns = bytearray(number * RECORD_SIZE)
        columns[PORT::RECORD_SIZE] = batch[place.port :: length]
        columns[PORT + 1 :: RECORD_SIZE] = batch[place.port + 1 :: length]
        if place.state is not None:
            columns[STATE::RECORD_SIZE] = batch[place.state :: length]
        if place.status is not None:
            columns[STATUS::RECORD_SIZE] = batch[place.status + 3 :: length]
        for byte in range(4):
            left = b"\xff" * number if place.left is None else batch[place.left + byte :: length]
            columns[LEFT + byte :: RECORD_SIZE] = left
        keys: Any = _keys_in(number, length, place.source, place.source_port + 2)(batch)
        if place.zone is not None:
            keys = zip(keys, _keys_in(number, length, place.zone, place.zone + 2)(batch))
        found = map(self._records[place.family].__getitem__, keys)
        collections.deque(map(array.array.append, found, memoryview(columns).cast("Q")), maxlen=0)

    def _add_one(self, message: bytes) -> None:
        place = _layout(message).place
        if place is None or place.protocol not in (TCP, UDP):
            return
        size = _size(place.family)

        def number(at: Optional[int], width: int, absent: int = 0) -> int:
            return absent if at is None else int.from_bytes(message[at : at + width], "big")

        key = Key(
            message[place.destination : place.destination + size],
            message[place.source : place.source + size],
            number(place.source_port, 2),
            place.protocol,
            number(place.zone, 2),
        )
        status = number(place.status, 4) & 0xFF
        left = number(place.left, 4, NO_TIMEOUT)
        self._found.add(key, Entry(number(place.port, 2), number(place.state, 1), status, left))


def _key(raw: bytes, zone: bytes, size: int) -> Key:
    """From the part of a message between the source of a reply, which is the destination, and its port."""
    second = size + 4
    port, of_zone = (int.from_bytes(one, "big") for one in (raw[-2:], zone))
    return Key(raw[second : second + size], raw[:size], port, raw[-10], of_zone)


def _size(family: int) -> int:
    """Of an address."""
    return 4 if family == socket.AF_INET else 16


def _all_alike(batch: bytes, length: int, fixed: Tuple[int, ...]) -> bool:
    number = len(batch) // length
    return all(count_same(batch[at::length]) == number for at in fixed)


@functools.lru_cache(maxsize=64)
def _keys_in(number: int, length: int, start: int, end: int) -> Callable[[bytes], Tuple[bytes, ...]]:
    """What takes the same part out of so many messages in one call."""
    return struct.Struct("=" + number * f"{start}x{end - start}s{length - end}x").unpack


def _layout(message: bytes) -> _Layout:
    at: Dict[Tuple[int, ...], int] = {}
    fixed = [HEADER.size]
    _walk(message, (), _BODY, min(len(message), HEADER.unpack_from(message)[0]), at, fixed)
    family = message[HEADER.size]
    ip = 0 if family == socket.AF_INET else 1
    source, destination = at.get((_REPLY, _IP, _SOURCE[ip])), at.get((_REPLY, _IP, _DESTINATION[ip]))
    protocol = at.get((_REPLY, _PROTO, _NUMBER))
    source_port, port = (at.get((_REPLY, _PROTO, one)) for one in (_SOURCE_PORT, _DESTINATION_PORT))
    if protocol is not None:
        fixed.append(protocol)
    if source is None or destination is None or protocol is None or source_port is None or port is None:
        return _Layout(tuple(fixed), None)
    place = _Place(
        family,
        message[protocol],
        protocol,
        source,
        destination,
        source_port,
        port,
        at.get((_ZONE,), at.get((_REPLY, _TUPLE_ZONE))),
        at.get((_PROTOINFO, _OF_TCP, _OF_TCP_STATE)),
        at.get((_STATUS,)),
        at.get((_TIMEOUT,)),
    )
    return _Layout(tuple(fixed), place)


def _walk(
    message: bytes, path: Tuple[int, ...], start: int, end: int, at: Dict[Tuple[int, ...], int], fixed: List[int]
) -> None:
    """Where each attribute begins, by its path; and where lengths and types of all of them are."""
    for kind, first, last in spans(message, start, end):
        here = (*path, kind)
        fixed += range(first - 4, first)
        at[here] = first
        if kind in _NESTED.get(path, ()):
            _walk(message, here, first, last, at, fixed)

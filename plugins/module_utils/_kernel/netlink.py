# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps over netlink: a request, and answers that hold messages, which hold attributes (netlink(7))."""

import errno
import os
import socket
import struct
import sys
from types import TracebackType
from typing import Iterator, List, Optional, Tuple, Type

SOCK_DIAG, NETFILTER = 4, 12  # protocols

NLMSG_ERROR, NLMSG_DONE, NLMSG_MIN_TYPE = 2, 3, 16
NLM_F_DUMP_INTR = 0x10
_REQUEST_FLAGS = 0x301  # NLM_F_REQUEST | NLM_F_DUMP

# The kernel fills at most 32,448 bytes of a larger buffer.
_BUFFER_SIZE = 32768
_TIMEOUT_S = 10

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# The bytes that differ where length, type or flags do: no value is so large that it needs a higher byte.
_LENGTH, _SHORT = ((0, 1), 0) if sys.byteorder == "little" else ((2, 3), 1)
_HEAD = (*_LENGTH, 4 + _SHORT, 6 + _SHORT)

_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_TYPE_MASK = 0x3FFF


class NetlinkError(Exception):
    """The kernel refused the request, with that errno, or its answer is not one."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number


class Netlink:
    """A socket for dumps. interrupted: an answer was inconsistent or incomplete."""

    def __init__(self, protocol: int) -> None:
        self.interrupted = False
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(_TIMEOUT_S)

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._socket.close()

    def runs(self, kind: int, body: bytes, alike: Tuple[int, ...] = ()) -> Iterator[Tuple[bytes, int]]:
        """The messages of a dump as runs of one length, and that length. alike: as of split().

        Raises NetlinkError, or OSError from the socket.
        """
        self._sequence += 1
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, _REQUEST_FLAGS, self._sequence, 0) + body)
        while True:
            try:
                answer, _ancillary, of_answer, _sender = self._socket.recvmsg(_BUFFER_SIZE)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.interrupted = True  # answers were dropped, but more will come
                continue
            if of_answer & socket.MSG_TRUNC:
                self.interrupted = True  # cut short, so that what follows the cut is not known
                continue
            for run, length in split(answer, alike):
                kind, flags = HEADER.unpack_from(run)[1:3]
                self.interrupted |= bool(flags & NLM_F_DUMP_INTR)
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    _raise_error(run)
                    return
                if kind >= NLMSG_MIN_TYPE:
                    yield run, length


def split(answer: bytes, alike: Tuple[int, ...] = ()) -> Iterator[Tuple[bytes, int]]:
    """Messages as runs of the same length, type and flags, and that length.

    alike: offsets of further bytes that have to be the same. Raises NetlinkError where a message claims more than there
    is.
    """
    while answer:
        length = _length(answer)
        end = length * max(1, min(count_same(answer[at::length]) for at in (*_HEAD, *alike)))
        if end > len(answer):
            raise NetlinkError("an answer ends within a message")
        yield answer[:end], length
        answer = answer[end:]


def count_same(column: bytes) -> int:
    """How many bytes at the start are the same. All are as a rule, which is quick to see."""
    first = column[:1]
    return len(column) if column == first * len(column) else len(column) - len(column.lstrip(first))


def attributes(data: bytes) -> List[Tuple[int, bytes]]:
    """Type and value of each, without the flags in the type."""
    return [(kind, data[start:end]) for kind, start, end in spans(data, 0, len(data))]


def spans(data: bytes, start: int, end: int) -> Iterator[Tuple[int, int, int]]:
    """Type of each attribute of a part of a message, and where its value begins and ends."""
    while end - start >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= end - start:
            return
        yield kind & _TYPE_MASK, start + _ATTRIBUTE.size, start + length
        start += length + 3 & ~3


def _length(answer: bytes) -> int:
    """The length of the first message, padded to 4 bytes."""
    if len(answer) < HEADER.size:
        raise NetlinkError("an answer ends within a message")
    length = int(HEADER.unpack_from(answer)[0])
    if not HEADER.size <= length <= len(answer):
        raise NetlinkError(f"a message claims {length} bytes of {len(answer)}")
    return length + 3 & ~3


def _raise_error(message: bytes) -> None:
    """For an NLMSG_ERROR or NLMSG_DONE that carries one."""
    code = struct.unpack_from("=i", message, HEADER.size)[0] if len(message) >= HEADER.size + 4 else 0
    if code:
        raise NetlinkError(os.strerror(-code), -code)

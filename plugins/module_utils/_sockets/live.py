# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sockets of a few pools, one by one, with what the kernel says about whose they are.

The kernel picks them out (INET_DIAG_REQ_BYTECODE), so that what other sockets there are costs its walk and no more.
"""

import socket
import struct
from typing import Collection, Iterator, List, NamedTuple, Optional, Tuple

from .._common.errors import SockDiagError
from .._kernel import netlink
from .._kernel.tcp import CLOSE, LISTEN, TIME_WAIT, fold
from .aggregate import MESSAGE, OFFSET
from .inet_diag import EVERY_STATE, SockDiag

# Source, address and port of a pool. Who calls bind() has no destination yet.
Key = Tuple[Optional[bytes], Optional[bytes], Optional[int]]

_STATES = EVERY_STATE & ~(1 << TIME_WAIT | 1 << LISTEN | 1 << CLOSE)
# So many are told at most.
MOST = 50000

# struct inet_diag_bc_op: code, how far to go where it holds, and where it does not; then struct inet_diag_hostcond.
_OP, _CONDITION = struct.Struct("=BBH"), struct.Struct("=BBxxi")
_JUMP, _SOURCE, _DESTINATION = 1, 7, 8
_ANY_PORT = -1

_CGROUP_ID = 21  # INET_DIAG_CGROUP_ID, since Linux 5.8
_NUMBER = struct.Struct("=Q")
_ENDPOINTS = struct.Struct(f"={OFFSET['idiag_family']}xB3xHH16s16s{OFFSET['idiag_inode'] - OFFSET['idiag_if']}xI")


class Live(NamedTuple):
    """A socket of a pool. cgroup: in which it was made, None where the kernel does not tell. inode: 0 where no process
    has it any more.
    """

    key: Key
    port: int
    cgroup: Optional[int]
    inode: int


def read_live(keys: Collection[Key], most: int = MOST) -> List[Live]:
    """Sockets that are live, of the pools with these keys. Raises SockDiagError or OSError."""
    found: List[Live] = []
    with SockDiag() as kernel:
        for batch, length in kernel.dump(_STATES, bytecode(keys)):
            if length < MESSAGE.size:
                raise SockDiagError(f"NETLINK_SOCK_DIAG: a message about a socket has only {length} bytes")
            for offset in range(0, len(batch), length):
                if len(found) < most:
                    found += _read(batch, offset, offset + length, keys)
    return found


def bytecode(keys: Collection[Key]) -> bytes:
    """A program that accepts what matches one of these: a condition and a jump to the end for each."""
    conditions = [_condition(key) for key in keys]
    program, left = b"", sum(len(one) + 2 * _OP.size for _code, one in conditions)
    for code, one in conditions:
        size = _OP.size + len(one)
        left -= size + _OP.size
        # The last goes on beyond the end, which is to refuse.
        program += _OP.pack(code, size, size + _OP.size + (0 if left else 4)) + one
        program += _OP.pack(_JUMP, _OP.size, left + _OP.size)
    return program


def _condition(key: Key) -> Tuple[int, bytes]:
    source, address, port = key
    code, value, number = (_SOURCE, source, _ANY_PORT) if address is None else (_DESTINATION, address, port)
    value = value or b""
    family = socket.AF_INET if len(value) == 4 else socket.AF_INET6
    return code, _CONDITION.pack(family, len(value) * 8, number or 0) + value


def _read(batch: bytes, start: int, end: int, keys: Collection[Key]) -> Iterator[Live]:
    family, local, remote, source, address, inode = _ENDPOINTS.unpack_from(batch, start)
    size = 4 if family == socket.AF_INET else 16
    whole = fold(source[:size]), fold(address[:size]), socket.ntohs(remote)
    cgroup = _cgroup(batch, start + MESSAGE.size, end)
    for key in (whole, (whole[0], None, None)):
        if key in keys:
            yield Live(key, socket.ntohs(local), cgroup, inode)


def _cgroup(batch: bytes, start: int, end: int) -> Optional[int]:
    for kind, begins, ends in netlink.spans(batch, start, end):
        if kind == _CGROUP_ID and ends - begins == _NUMBER.size:
            return int(_NUMBER.unpack_from(batch, begins)[0])
    return None

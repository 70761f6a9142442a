# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of nftables in this network namespace (include/uapi/linux/netfilter/nf_tables.h).

iptables-nft writes such rules too. It takes CAP_NET_ADMIN.
"""

import errno
import struct
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._kernel.modules import is_loaded
from .._kernel.netlink import HEADER, NETFILTER, Netlink, NetlinkError, attributes

GETRULE, GETSETELEM = 10 << 8 | 7, 10 << 8 | 13  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE, NFT_MSG_GETSETELEM
# As often as sockets are dumped anew.
_ATTEMPTS = 3
_FAMILY = HEADER.size
_BODY = HEADER.size + 4  # after struct nfgenmsg
TABLE, _CHAIN, _EXPRESSIONS = 1, 2, 4
_NAME, _DATA = 1, 2

Attributes = Dict[int, bytes]


class Rule(NamedTuple):
    """family: that of its table, as struct nfgenmsg has it. text: its attributes, as they came."""

    family: int
    text: bytes


def rules(proc: str = "/proc") -> List[Rule]:
    """Raises OSError where they may not be read."""
    return [Rule(*one) for one in dump(GETRULE)] if is_loaded("nf_tables", proc) else []


def dump(kind: int, family: int = 0, wanted: bytes = b"") -> List[Tuple[int, bytes]]:
    """Family and attributes of all that there are of this kind, as far as these attributes say.

    Raises OSError, also where they change each time while they are read: a part of them would prove nothing.
    """
    for _attempt in range(_ATTEMPTS):
        found, whole = _dump(kind, family, wanted)
        if whole:
            return found
    raise OSError(errno.EINTR, "the rules change while they are read")


def _dump(kind: int, family: int, wanted: bytes) -> Tuple[List[Tuple[int, bytes]], bool]:
    found = []
    with Netlink(NETFILTER) as kernel:
        try:
            for run, length in kernel.runs(kind, struct.pack("=Bxxx", family) + wanted):
                for start in range(0, len(run), length):
                    end = start + HEADER.unpack_from(run, start)[0]
                    found.append((run[start + _FAMILY], run[start + _BODY : end]))
        except NetlinkError as error:
            raise OSError(error.number, str(error)) from error
        return found, not kernel.interrupted


def expressions(rule: bytes) -> Iterator[Tuple[bytes, Attributes]]:
    """Name and attributes of each expression of a rule."""
    for kind, listed in attributes(rule):
        for _element, expression in attributes(listed) if kind == _EXPRESSIONS else ():
            parts = dict(attributes(expression))
            yield text(parts.get(_NAME)), dict(attributes(parts.get(_DATA, b"")))


def place(rule: bytes) -> Tuple[bytes, bytes]:
    """Table and chain."""
    found = dict(attributes(rule))
    return text(found.get(TABLE)), text(found.get(_CHAIN))


def text(value: Optional[bytes]) -> bytes:
    return (value or b"").rstrip(b"\0")


def number(value: Optional[bytes]) -> int:
    return int.from_bytes(value or b"", "big")


def value(data: Optional[bytes]) -> bytes:
    """What is within an NFTA_DATA_VALUE."""
    return dict(attributes(data or b"")).get(1, b"")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set the running values of sysctls."""

import os
from typing import Iterator

from . import ports, sysctl
from .keys import RESERVED_PORTS

# One write() takes at most a page, and kernels before 5.2 drop the rest of a longer one without a word.
_WRITE_SIZE = 4000


def write_sysctl(key: str, value: str, root: str = sysctl.PROC_SYS) -> None:
    """Set a running value; raises OSError as the kernel answers.

    A line end is added because a write of nothing would leave the old list of reserved ports in force.
    """
    descriptor = os.open(sysctl.path_of(key, root), os.O_WRONLY)
    try:
        if key == RESERVED_PORTS and len(value) > _WRITE_SIZE:
            _write_long_list(descriptor, value, ports.parse_ports(sysctl.read(key, root) or ""))
        else:
            os.write(descriptor, _line(value))
    finally:
        os.close(descriptor)


def _write_long_list(descriptor: int, value: str, current: ports.PortSet) -> None:
    """Set a list of ports that does not fit into one write.

    A write at the start replaces the list, a write anywhere else adds to it. So everything is added first, which never
    lifts a reservation. Only if there was something to drop, the list is then built anew, piece by piece.
    """
    pieces = list(_pieces(value))
    for piece in pieces:
        os.pwrite(descriptor, _line(piece), 1)
    if current - ports.parse_ports(value):
        for number, piece in enumerate(pieces):
            os.pwrite(descriptor, _line(piece), number)


def _pieces(value: str) -> Iterator[str]:
    """A list cut at commas into lists that are short enough for one write."""
    while len(value) > _WRITE_SIZE:
        comma = value.rindex(",", 0, _WRITE_SIZE)
        yield value[:comma]
        value = value[comma + 1 :]
    yield value


def _line(value: str) -> bytes:
    return value.encode(sysctl.ENCODING) + b"\n"

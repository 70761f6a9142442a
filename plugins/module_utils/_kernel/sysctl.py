# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write the running values of sysctls."""

import os
from typing import Dict, Iterable, Iterator, Optional

from . import ports
from .keys import PORT_RANGE as PORT_RANGE
from .keys import RESERVED_PORTS as RESERVED_PORTS
from .keys import UNPRIVILEGED_PORT_START as UNPRIVILEGED_PORT_START

PROC_SYS = "/proc/sys"

# The longest value is a reserved list of every other port, 191 KiB; all others fit into a page. The buffer is zeroed
# first; a large one costs more than the read.
_LIST_SIZE = 1 << 18
_READ_SIZE = 4096

# One write() takes at most a page, and kernels before 5.2 drop the rest of a longer one without a word.
_WRITE_SIZE = 4000

# Every byte is a character, so that any value comes back as it was.
_ENCODING = "latin-1"


def canonical(name: str) -> str:
    """The dotted name of a sysctl written in any way that sysctl.d(5) allows.

    The first separator decides: after a dot, a slash stands for a dot within a component (net.ipv4.conf.eth0/7.x),
    after a slash, everything is a path already.
    """
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def path_of(key: str, root: str = PROC_SYS) -> str:
    """The file of a canonical key."""
    return os.path.join(root, key.translate(str.maketrans("./", "/.")))


def read(key: str, root: str = PROC_SYS) -> Optional[str]:
    """The running value without its line end, or None where the kernel has no such key (or hides it from here).

    One large read: a second read of ip_local_reserved_ports returns nothing, so that small buffers cut the list short.
    """
    try:
        descriptor = os.open(path_of(key, root), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        size = _LIST_SIZE if key == RESERVED_PORTS else _READ_SIZE
        return os.read(descriptor, size).decode(_ENCODING).rstrip("\n")
    except IsADirectoryError:
        return None
    finally:
        os.close(descriptor)


def read_all(keys: Iterable[str], root: str = PROC_SYS) -> Dict[str, Optional[str]]:
    """Running values in the spelling of with_blanks(), None for keys that do not exist."""
    values = {key: read(key, root) for key in keys}
    return {key: value and with_blanks(value) for key, value in values.items()}


def with_blanks(value: str) -> str:
    """One blank between numbers, where the kernel prints tabs."""
    return " ".join(value.split())


def write(key: str, value: str, root: str = PROC_SYS) -> None:
    """Set a running value; raises OSError as the kernel answers.

    A line end is added because a write of nothing would leave the old list of reserved ports in force.
    """
    descriptor = os.open(path_of(key, root), os.O_WRONLY)
    try:
        if key == RESERVED_PORTS and len(value) > _WRITE_SIZE:
            _write_long_list(descriptor, value, ports.parse_ports(read(key, root) or ""))
        else:
            os.write(descriptor, _line(value))
    finally:
        os.close(descriptor)


def _write_long_list(descriptor: int, value: str, present: ports.PortSet) -> None:
    """Set a list of ports that does not fit into one write.

    A write at the start replaces the list, a write anywhere else adds to it. So everything is added first, which never
    lifts a reservation. Only if there was something to drop, the list is then built anew, piece by piece.
    """
    pieces = list(_pieces(value))
    for piece in pieces:
        os.pwrite(descriptor, _line(piece), 1)
    if present - ports.parse_ports(value):
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
    return value.encode(_ENCODING) + b"\n"


def same(key: str, left: str, right: str) -> bool:
    """Whether two spellings of a value mean the same to the kernel, for sure.

    Numbers are not compared as such: 010, 0x10 and +1 mean to the kernel something else than to most readers.
    """
    return _meaning(key, left) == _meaning(key, right)


def spelled(key: str, value: str) -> str:
    """A value as the kernel would print it, but with single blanks."""
    return str(ports.parse_ports(value)) if key == RESERVED_PORTS else with_blanks(value)


def _meaning(key: str, value: str) -> object:
    if key == RESERVED_PORTS:
        try:
            return ports.parse_ports(value)
        except ValueError:
            return value
    return value.split()

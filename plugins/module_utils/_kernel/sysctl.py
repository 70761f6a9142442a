# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and running values of sysctls: read, compared, spelled as the kernel spells them."""

import os
from typing import Dict, Iterable, Optional

from . import ports
from .keys import RESERVED_PORTS

PROC_SYS = "/proc/sys"
_SWAP = str.maketrans("./", "/.")

# The longest value is a reserved list of every other port, 191 KiB; all others fit into a page. The buffer is zeroed
# first; a large one costs more than the read.
_LIST_SIZE = 1 << 18
_READ_SIZE = 4096

# Every byte is a character, so that any value comes back as it was.
ENCODING = "latin-1"


def swapped(name: str) -> str:
    """The other spelling of a name: slashes for dots, and dots for slashes."""
    return name.translate(_SWAP)


def canonical(name: str) -> str:
    """The dotted name of a sysctl written in any way that sysctl.d(5) allows.

    The first separator decides: after a dot, a slash stands for a dot within a component (net.ipv4.conf.eth0/7.x),
    after a slash, everything is a path already.
    """
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else swapped(name)


def path_of(key: str, root: str = PROC_SYS) -> str:
    """The file of a canonical key."""
    return os.path.join(root, swapped(key))


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
        return os.read(descriptor, size).decode(ENCODING).rstrip("\n")
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

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write the running values of sysctls."""

import os
from typing import Dict, Iterable, Optional

from . import _port_range

PROC_SYS = "/proc/sys"

RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
PORT_RANGE = "net.ipv4.ip_local_port_range"
UNPRIVILEGED_PORT_START = "net.ipv4.ip_unprivileged_port_start"

# The largest value is a reserved list of every other port: 191 KiB.
_READ_SIZE = 1 << 20


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
        return os.read(descriptor, _READ_SIZE).decode("ascii", "backslashreplace").rstrip("\n")
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

    One write takes at most a page of ip_local_reserved_ports, hence the loop on one descriptor. A line end is added
    because a write of nothing would leave the old list in force.
    """
    data = value.encode("ascii") + b"\n"
    descriptor = os.open(path_of(key, root), os.O_WRONLY)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def same(key: str, left: str, right: str) -> bool:
    """Whether two spellings of a value mean the same to the kernel."""
    return _meaning(key, left) == _meaning(key, right)


def _meaning(key: str, value: str) -> object:
    if key == RESERVED_PORTS:
        try:
            return _port_range.parse_ports(value)
        except ValueError:
            return value
    return [_number(word) for word in value.split()]


def _number(word: str) -> object:
    try:
        return int(word, 10)
    except ValueError:
        return word

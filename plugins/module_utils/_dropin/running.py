# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running values of the network namespace of this thread: written in a safe order, and read back."""

import errno
from typing import List, Mapping, Optional, Tuple

from .._kernel import keys, sysctl
from .._kernel.ports import parse_ports
from .._kernel.sysctl_write import write_sysctl

# What write() says to a value that the kernel does not take.
_REFUSED = (errno.EINVAL, errno.ERANGE)


class KernelError(OSError):
    """The kernel does not take the value of a key."""

    def __init__(self, key: str, number: Optional[int], words: str) -> None:
        super().__init__(number, words)
        self.key = key


def order_writes(now: Mapping[str, str], target: Mapping[str, str]) -> List[Tuple[str, str]]:
    """The writes that lead from one set of running values to another, in an order that is safe at every moment.

    A port of a service is reserved before the range can reach it, and released only when the range has left it. The
    range never begins below ip_unprivileged_port_start, which the kernel would refuse.
    """
    early: List[Tuple[str, str]] = []
    middle: List[Tuple[str, str]] = []
    late: List[Tuple[str, str]] = []
    for key, value in target.items():
        if sysctl.same(key, now[key], value):
            continue
        if key == keys.RESERVED_PORTS:
            old, new = parse_ports(now[key]), parse_ports(value)
            if new - old:
                early.append((key, str(old | new) if old - new else value))
            if old - new:
                late.append((key, value))
        elif key == keys.UNPRIVILEGED_PORT_START:
            (early if int(value) < int(now[key]) else late).append((key, value))
        else:
            middle.append((key, value))
    return early + middle + late


def write_values(values: Mapping[str, str], root: str = sysctl.PROC_SYS) -> None:
    """Write those that differ. Raises OSError."""
    now = {key: sysctl.read(key, root) or "" for key in values}
    for key, value in order_writes(now, values):
        _set_value(key, value, root)


def verify(values: Mapping[str, str], root: str = sysctl.PROC_SYS) -> None:
    """Raises OSError unless the kernel has the values."""
    for key, value in values.items():
        current = sysctl.read(key, root)
        if current is None or not sysctl.same(key, current, value):
            raise KernelError(key, errno.EINVAL, f"the kernel turned {key} = {value} into {current}")


def _set_value(key: str, value: str, root: str) -> None:
    try:
        write_sysctl(key, value, root)
    except OSError as error:
        words = f"the kernel refused {key} = {value}: {error.strerror}"
        if error.errno in _REFUSED:
            raise KernelError(key, error.errno, words) from error
        raise OSError(error.errno, words) from error

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tracepoint sock:inet_sock_set_state (Linux 4.16): what is asked of it, and how its lines are read.

connect() takes a socket from CLOSE to SYN_SENT before it has a local port. One that finds none takes it back to CLOSE,
still without a port; one that is refused or times out has a port by then. Both happen within connect(), so the task
that the kernel names is the program. A socket that called bind() has a port from the beginning: of its connects none is
told to fail for want of a port.
"""

import re
import socket
from typing import NamedTuple, Optional, Union

from .._kernel.tcp import CLOSE, SYN_SENT, fold

GROUP, NAME = "sock", "inet_sock_set_state"

FILTER = (
    f"protocol == {socket.IPPROTO_TCP} && ((oldstate == {CLOSE} && newstate == {SYN_SENT}) || "
    f"(oldstate == {SYN_SENT} && newstate == {CLOSE} && sport == 0))"
)

# The name of a task may be any 15 characters: what counts is the last "-TASK [CPU]". The address of IPv6 is filled in
# for IPv4 too.
_LINE = re.compile(
    r"\s*(?P<task>.*)-(?P<tid>\d+)\s+(?:\(.*?\)\s+)?\[\d+\].*?: " + NAME + r": .*\bdport=(?P<port>\d+) .*"
    r"\bdaddrv6=(?P<address>[0-9a-f:.]+) oldstate=\w+ newstate=TCP_(?P<state>\w+)\s*\Z",
    re.DOTALL,
)
_LOST = re.compile(r"CPU:\d+ \[LOST (\d+) EVENTS\]")


class Event(NamedTuple):
    """A connect() of a task, by its number and name: failed, or begun. address: 4 or 16 bytes in network order."""

    tid: int
    task: str
    address: bytes
    port: int
    failed: bool


class Lost(NamedTuple):
    """Events that the kernel had no room for."""

    number: int


def parse_line(line: str) -> Union[Event, Lost, None]:
    """A line of trace_pipe; None where it is about nothing that was asked for."""
    match = _LINE.match(line)
    if match is None:
        lost = _LOST.match(line)
        return Lost(int(lost.group(1))) if lost else None
    address = _packed(match.group("address"))
    if address is None:
        return None
    port = int(match.group("port"))
    return Event(int(match.group("tid")), match.group("task"), address, port, match.group("state") == "CLOSE")


def _packed(text: str) -> Optional[bytes]:
    try:
        return fold(socket.inet_pton(socket.AF_INET6, text))
    except OSError:
        return None

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be counted, said as plainly as can be: one socket after the other, each field by its name."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.tcp import (
    CLOSE,
    LISTEN,
    SYN_SENT,
    TIME_WAIT,
    Destination,
    fold,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.aggregate import FIELDS, MESSAGE
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable


class Socket(NamedTuple):
    state: int
    port: int
    destination: Destination
    left_ms: int
    resent: int


def sockets(batch: bytes, length: int) -> Iterator[Socket]:
    """What a batch of messages of this length says."""
    for offset in range(0, len(batch), length):
        values = MESSAGE.unpack_from(batch, offset)
        message: dict[str, Any] = {name: value for (name, _form), value in zip(FIELDS, values, strict=True)}
        size = 4 if message["idiag_family"] == socket.AF_INET else 16
        source, address = (fold(message[name][:size]) for name in ("idiag_src", "idiag_dst"))
        destination = source, address, socket.ntohs(message["idiag_dport"])
        state, port = message["idiag_state"], socket.ntohs(message["idiag_sport"])
        yield Socket(state, port, destination, message["idiag_expires"], message["idiag_retrans"])


def count(batches: Iterable[tuple[bytes, int]], clients: PortSet) -> SocketTable:
    table = SocketTable()
    for one in (one for batch, length in batches for one in sockets(batch, length)):
        table.states[one.state] += 1
        if one.state in (LISTEN, CLOSE):
            table.add_holder(one.destination[0], one.port, one.state == LISTEN)
        elif one.port not in clients or one.port in table.listening | table.bound:
            pass  # a server's
        elif one.state == TIME_WAIT:
            table.time_wait.add(one.destination, [one.port * 256 + min(one.left_ms >> 8, 255)])
        else:
            table.add_live(one.destination, one.state, one.port)
            if one.state == SYN_SENT and one.resent:
                table.syn_resent[one.destination] += 1
    return table


def contents(table: SocketTable) -> dict[str, Any]:
    """All that is in a table, whatever the order in which the kernel told of the sockets."""
    time_wait = {destination: table.time_wait.histogram(destination) for destination in table.time_wait}
    ports = {destination: sorted(table.ports(destination)) for destination in table.destinations()}
    odd = {destination: table.count_odd(destination) for destination in table.destinations()}
    return {**vars(table), "time_wait": time_wait, "live_ports": ports, "odd": odd}

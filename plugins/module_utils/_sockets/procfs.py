# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count TCP sockets from /proc/net/tcp and tcp6.

The way for hosts where netlink is refused; it costs three times as much. Rows are split on white space: the columns
shift once a row number has five digits.
"""

import collections
import itertools
import os
import struct
from typing import Counter, DefaultDict, Dict, Iterator, NamedTuple, Set, Tuple

from .._common.errors import ProcfsError
from .._kernel.counters import PROC
from .._kernel.ports import FIRST_UNPRIVILEGED, PortRange, PortSet, client_ports
from .._kernel.tcp import CLOSE, LISTEN, SYN_RECV, SYN_SENT, TIME_WAIT, fold
from .socket_table import MAX_TICK, TICK_SHIFT, SocketTable, record

_TCP = ("tcp", "tcp6")

# From so many ports without pattern on, one user's UDP sockets are taken for those of a client.
_MANY = 16

_MS_PER_CLOCK_TICK = 10  # the timer column counts in USER_HZ, which is 100 on every architecture in use


class Row(NamedTuple):
    """A socket. Addresses are 4 or 16 bytes in network order; left_ms is what remains of its timer. resent: how often
    what was not acknowledged was sent again.
    """

    state: int
    source: bytes
    port: int
    address: bytes
    remote_port: int
    left_ms: int
    resent: int = 0


def parse_row(line: str) -> Row:
    """Read a line of /proc/net/tcp or tcp6 other than the head. Raises ProcfsError where it is none."""
    try:
        _number, local, remote, state, _queues, timer, resent = line.split(None, 7)[:7]
        source, port = _endpoint(local)
        address, remote_port = _endpoint(remote)
        left = int(timer.partition(":")[2], 16)
        milliseconds = left * _MS_PER_CLOCK_TICK
        return Row(int(state, 16), source, port, address, remote_port, milliseconds, int(resent, 16))
    except (ValueError, struct.error) as error:
        raise ProcfsError(f"not a row of /proc/net/tcp: {line!r}") from error


def read_sockets(port_range: PortRange, reserved: PortSet, proc: str = PROC, shift: int = TICK_SHIFT) -> SocketTable:
    """Count the sockets of this network namespace. Raises OSError or ProcfsError."""
    table = SocketTable(shift)
    for row in _listeners(proc):
        table.add_holder(fold(row.source), row.port, listens=True)
    clients = client_ports(port_range, reserved) - PortSet.of(table.listening)
    for row in _rows(proc, _TCP):
        table.states[row.state] += 1
        if row.port not in clients or row.state == LISTEN:
            continue
        destination = fold(row.source), fold(row.address), row.remote_port
        if row.state == TIME_WAIT:
            tick = row.left_ms >> shift
            table.time_wait.add(destination, (record(row.port, min(tick, MAX_TICK)),))
            table.time_wait.cut |= tick > MAX_TICK
        else:
            table.add_live(destination, row.state, row.port)
            if row.state == SYN_SENT and row.resent:
                table.syn_resent[destination] += 1
    return table


def read_listening_ports(proc: str = PROC) -> Set[int]:
    return {row.port for row in _listeners(proc)}


def udp_ports(proc: str = PROC) -> Tuple[Set[int], Set[int]]:
    """Local ports of UDP sockets that are not connected: those of services, and those of clients that wait for answers.

    What tells a client is many sockets of one user on ports without pattern, as resolvers and relays have that choose
    their own ports. Services have few ports, or ports that follow one another.
    """
    users: DefaultDict[str, Set[int]] = collections.defaultdict(set)
    for name in ("udp", "udp6"):
        for line in _lines(proc, name):
            row = parse_row(line)
            if row.state == CLOSE:
                users[line.split(None, 8)[7]].add(row.port)
    services: Set[int] = set()
    clients: Set[int] = set()
    for ports in users.values():
        alone = {port for port in ports if port >= FIRST_UNPRIVILEGED and ports.isdisjoint(_neighbours(port))}
        clients |= alone if len(alone) >= _MANY else set()
    for ports in users.values():
        services |= ports - clients
    return services, clients - services


def udp_states(proc: str = PROC) -> Dict[int, Counter[int]]:
    """UDP sockets per state number, by local port. Those of one IPv6 address alone are left out: IPv4 has that port."""
    found: DefaultDict[int, Counter[int]] = collections.defaultdict(collections.Counter)
    for row in _rows(proc, ("udp", "udp6")):
        if len(fold(row.source)) == 4 or not any(row.source):
            found[row.port][row.state] += 1
    return found


def _neighbours(port: int) -> Set[int]:
    """RTP has every second port."""
    return {port + distance for distance in (-2, -1, 1, 2)}


def _listeners(proc: str) -> Iterator[Row]:
    """Listeners and half-open connections come first in each file; the rest need not be read for them."""
    for name in _TCP:
        for row in itertools.takewhile(lambda row: row.state in (LISTEN, SYN_RECV), _rows(proc, (name,))):
            if row.state == LISTEN:
                yield row


def _rows(proc: str, names: Tuple[str, ...]) -> Iterator[Row]:
    for name in names:
        for line in _lines(proc, name):
            yield parse_row(line)


def _lines(proc: str, name: str) -> Iterator[str]:
    """The lines of a table but its head; none where it is missing, as tcp6 and udp6 are where IPv6 is switched off."""
    path = os.path.join(proc, "net", name)
    if os.path.exists(path):
        with open(path, encoding="ascii") as lines:
            next(lines, None)
            yield from lines


def _endpoint(text: str) -> Tuple[bytes, int]:
    """Address and port from "0100007F:1F90": the address in 32-bit words as the host stores them."""
    address, _colon, port = text.partition(":")
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    return struct.pack(f"={len(words)}I", *words), int(port, 16)

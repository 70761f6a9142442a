# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches counted column by column, held against the plain loop of plain.py."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import SockDiagError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import netlink
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortRange,
    PortSet,
    range_ports,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.tcp import (
    CLOSE,
    FIN_WAIT2,
    LISTEN,
    TIME_WAIT,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.aggregate import (
    MESSAGE,
    OFFSET,
    Aggregator,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import (
    SocketTable,
    TimeWaitExpiries,
    record,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import (
    Waiting,
    lowest_blocking_tick,
)

from .. import recorded
from . import plain

V4_MAPPED = bytes(10) + b"\xff\xff"
HOSTS = [b"\xc0\0\2\1", b"\xc0\0\2\2"]


def message(family: int, state: int, port: int, peer: bytes, left_ms: int, attribute: bool = False) -> bytes:
    """A struct inet_diag_msg in its envelope, with an attribute behind it or without."""
    length = MESSAGE.size + 8 * attribute
    head = (length, 20, 2, 1, 0, family, state, 0, 0, socket.htons(port), socket.htons(80))
    return MESSAGE.pack(*head, HOSTS[0], peer, 0, bytes(8), left_ms, 0, 0, 1000, 77) + bytes(8 * attribute)


FAMILIES = [socket.AF_INET, socket.AF_INET6]
PORTS = st.sampled_from([1, 39999, 40000, 40050, 40199, 40200, 65535])
PEERS = st.sampled_from([*HOSTS, b"\x20\1" + bytes(13) + b"\7", *(V4_MAPPED + host for host in HOSTS)])
LEFT = st.integers(0, 2**17)
HOLDERS = st.builds(message, st.sampled_from(FAMILIES), st.sampled_from([LISTEN, CLOSE]), PORTS, PEERS, LEFT)
OTHERS = st.builds(
    message,
    st.sampled_from(FAMILIES),
    st.sampled_from([1, FIN_WAIT2, TIME_WAIT, TIME_WAIT, TIME_WAIT]),
    PORTS,
    PEERS,
    LEFT,
    st.booleans(),
)
CLIENTS = st.sampled_from([PortSet([(40000, 40199)]), PortSet([(32768, 65535)]), PortSet([(1, 255), (40050, 40050)])])


@given(st.lists(HOLDERS, max_size=5), st.lists(st.lists(OTHERS, max_size=40), max_size=4), CLIENTS)
def test_columns_count_what_a_plain_loop_counts(
    holders: list[bytes], answers: list[list[bytes]], clients: PortSet
) -> None:
    aggregator = Aggregator(clients)
    batches = [batch for answer in (holders, *answers) for batch in netlink.split(b"".join(answer), inet_diag.ALIKE)]
    for batch, length in batches:
        aggregator.add(batch, length)
    assert plain.contents(aggregator.finish()) == plain.contents(plain.count(batches, clients))


@pytest.mark.parametrize("kernel", recorded.KERNELS)
def test_recorded_dumps(kernel: str) -> None:
    clients = range_ports(PortRange(40000, 40199))
    batches = list(recorded.Playback(kernel).dump(~0))
    aggregator = Aggregator(clients)
    for batch, length in batches:
        aggregator.add(batch, length)
    assert plain.contents(aggregator.finish()) == plain.contents(plain.count(batches, clients))


@pytest.mark.parametrize(("shift", "tick", "cut"), [(8, 255, True), (12, 122, False)])
def test_longer_ticks_for_a_longer_time_wait(shift: int, tick: int, cut: bool) -> None:
    """What some vendors' kernels have: 500 s left."""
    aggregator = Aggregator(PortSet([(40000, 40199)]), shift)
    batch = message(socket.AF_INET, TIME_WAIT, 40000, HOSTS[1], 500_000)
    aggregator.add(batch, len(batch))
    found = aggregator.finish().time_wait
    (destination,) = found
    assert (found.histogram(destination), found.cut) == ({tick: 1}, cut)


def test_the_layout_is_that_of_the_kernel() -> None:
    """Offsets of struct inet_diag_msg behind the 16 bytes of struct nlmsghdr, as a C compiler has them."""
    assert MESSAGE.size == 16 + 72
    expected = {"family": 0, "state": 1, "sport": 4, "dport": 6, "src": 8, "dst": 24, "if": 40, "expires": 52}
    assert {name: OFFSET[f"idiag_{name}"] - 16 for name in expected} == expected


def test_a_short_message_is_refused() -> None:
    with pytest.raises(SockDiagError, match="only 84 bytes"):
        Aggregator(PortSet()).add(struct.pack("=84x"), 84)


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 255))), st.integers(1, 60000))
def test_expiries_are_counted_alike_with_and_without_a_histogram(sockets: list[tuple[int, int]], hold_ms: int) -> None:
    destination = (b"", b"", 80)
    expiries, ticks = TimeWaitExpiries(), [tick for _port, tick in sockets]
    expiries.add(destination, [record(*one) for one in sockets])
    assert list(expiries.ports(destination)) == [port for port, _tick in sockets]
    assert list(expiries.low_bytes(destination)) == [port % 256 for port, _tick in sockets]
    histogram = expiries.histogram(destination)
    assert expiries.count(destination) == len(ticks) == sum(histogram.values())
    assert expiries.count(destination, lowest_blocking_tick(hold_ms)) == Waiting(histogram, hold_ms).blocking
    assert expiries.count((b"", b"", 81)) == 0


@given(st.sets(st.integers(1, 65535), min_size=1, max_size=60), st.integers(0, 255), st.sampled_from([0, 1, 20]))
def test_ports_of_some_pages(ports: set[int], page: int, live: int) -> None:
    """None that is wanted is missing; and what is left out is not wanted."""
    destination = (b"", b"", 80)
    table = SocketTable()
    for number, port in enumerate(sorted(ports)):
        if number < live:
            table.add_live(destination, 1, port)
        else:
            table.time_wait.add(destination, [record(port, 7)])
    wanted = bytes(one == page for one in range(256))
    found = set(table.ports(destination, wanted))
    assert {port for port in ports if port >> 8 == page} <= found <= ports
    assert set(table.ports(destination, bytes(256))) == set(table.live_ports.get(destination, ()))
    assert table.spread(destination) <= max(ports) - min(ports) + 1 < table.spread(destination) + 512


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 255))), st.integers(0, 260), st.sampled_from([0, 1]))
def test_recent_sockets(sockets: list[tuple[int, int]], least: int, odd: int) -> None:
    destination = (b"", b"", 80)
    table = SocketTable()
    table.time_wait.add(destination, [record(*one) for one in sockets])
    recent = [port for port, tick in sockets if tick >= least]
    assert table.count_recent(destination, least) == len(recent)
    assert table.has_recent(destination, least, odd) == any(port % 2 == odd for port in recent)
    table.add_live(destination, 1, 7)
    assert table.count_recent(destination, least) == len(recent) + 1
    assert table.has_recent(destination, least, 1)

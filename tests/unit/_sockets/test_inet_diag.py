# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink reader on answers that no kernel should give, and on dumps that break off."""

from __future__ import annotations

import errno
import itertools
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.inet_diag import SockDiag, SockDiagError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import Ages, Destination
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import forecast

from .. import recorded

PORTS = PortRange(40000, 40199)
RECORDED = [(recorded.ROOT / kernel / name).read_bytes() for kernel in recorded.KERNELS for name in recorded.FILES]

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
NO_PERMISSION = struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -errno.EPERM)


class Scripted(SockDiag):
    """A netlink socket that answers as told: bytes, or an error number."""

    def __init__(self, *answers: bytes | int) -> None:
        self.interrupted = False
        self._sequence = 0
        self._buffer = memoryview(bytearray(32768))
        self._socket: Any = self
        self._answers: Iterator[bytes | int] = iter(answers)

    def send(self, _request: bytes) -> None:
        pass

    def recv_into(self, buffer: memoryview, _size: int, _flags: int) -> int:
        answer = next(self._answers)
        if isinstance(answer, int):
            raise OSError(answer, "as told")
        buffer[: len(answer)] = answer[: len(buffer)]
        return len(answer)


def count(*answers: bytes | int, ports: PortRange = PORTS) -> inet_diag.Census:
    return inet_diag.count_sockets(Scripted(*answers), ports, PortSet(), walks=(1,))


def sockets(number: int, **fields: int) -> bytes:
    """Messages as the kernel sends them, about sockets in TIME_WAIT."""
    message = bytearray(next(one for one in recorded.messages(RECORDED[0]) if one[17] == 6))
    struct.pack_into("=H", message, 6, fields.get("flags", 2))
    return bytes(message) * number


@given(st.sampled_from(RECORDED), st.data())
def test_damaged_answers_are_counted_or_refused(answer: bytes, data: st.DataObject) -> None:
    damaged = bytearray(answer)
    for _time in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        census = count(bytes(damaged[:cut]), DONE)
    except (SockDiagError, StopIteration):
        return
    assert all(number >= 0 for number in census.states.values())


def message(family: int, state: int, port: int, peer: int, left_ms: int) -> bytes:
    """A struct inet_diag_msg in its envelope, about a socket between addresses that look alike in both families."""
    head = struct.pack("=IHHIIBBxx", 88, 20, 2, 1, 0, family, state)
    ends = struct.pack(">HH16s16s", port, 80, b"\x20\1" + bytes(14), b"\x20\1\0" + bytes([peer]) + bytes(12))
    return head + ends + bytes(12) + struct.pack("=I16x", left_ms)


SOCKETS = st.tuples(
    st.sampled_from([socket.AF_INET, socket.AF_INET6]),
    st.sampled_from([1, 6, 6, 6]),
    st.sampled_from([39999, 40000, 40050, 40199, 40200]),
    st.integers(0, 2),
    st.integers(0, 2**17),
)


@given(st.lists(st.lists(SOCKETS, max_size=40), max_size=4), st.sampled_from([PORTS, PortRange(32768, 65535)]))
def test_runs_are_counted_as_their_sockets_one_by_one(
    answers: list[list[tuple[int, int, int, int, int]]], port_range: PortRange
) -> None:
    census = count(*(b"".join(message(*one) for one in answer) for answer in answers), DONE, ports=port_range)
    live: Counter[Destination] = Counter()
    time_wait: defaultdict[Destination, Counter[int]] = defaultdict(Counter)
    ports = []
    for family, state, port, peer, left_ms in itertools.chain(*answers):
        if port_range.low <= port <= port_range.high:
            size = 4 if family == socket.AF_INET else 16
            destination = (b"\x20\1" + bytes(size - 2), b"\x20\1\0" + bytes([peer]) + bytes(size - 4), 80)
            ports.append(port)
            if state == 6:
                time_wait[destination][min(left_ms >> 8, 255)] += 1
            else:
                live[destination] += 1
    assert census.live == live
    assert dict(census.time_wait) == time_wait
    assert sorted(census.sample) == sorted(ports)


@given(st.lists(st.integers(0, 255)), st.integers(1, 60000))
def test_ages_are_counted_alike_with_and_without_counters(ticks: list[int], hold_ms: int) -> None:
    destination = (b"", b"", 80)
    ages = Ages()
    ages.add(destination, ticks)
    assert ages.number(destination) == len(ticks) == sum(ages[destination].values())
    least = forecast.least_blocking(hold_ms)
    assert ages.number(destination, least) == forecast.blocked_now(ages[destination], hold_ms)
    assert ages.number((b"", b"", 81)) == 0


def test_a_sample_is_small() -> None:
    census = count(*(sockets(300) for _answer in range(40)), DONE)
    assert census.states[6] == 12000
    assert len(census.sample) == 8192


@given(st.binary(max_size=400))
def test_noise_is_counted_or_refused(answer: bytes) -> None:
    try:
        count(answer, DONE)
    except (SockDiagError, StopIteration):
        return


def test_answers_end_where_the_kernel_says() -> None:
    whole = count(sockets(3), sockets(2) + DONE, sockets(1))
    assert whole.states[6] == 5
    assert whole.complete


def test_a_broken_off_dump_is_an_error_not_a_short_count() -> None:
    with pytest.raises(SockDiagError, match="ends within a message"):
        count(sockets(3) + sockets(1)[:50], DONE)
    with pytest.raises(SockDiagError, match="not permitted"):
        count(sockets(3), NO_PERMISSION)


@pytest.mark.parametrize(
    "answers",
    [
        (sockets(3, flags=2 | 0x10), DONE),  # NLM_F_DUMP_INTR
        (sockets(3), errno.ENOBUFS, DONE),  # answers were dropped
        (sockets(3), sockets(400), DONE),  # cut short: more than fits
    ],
    ids=["inconsistent", "dropped", "cut"],
)
def test_a_dump_with_gaps_is_not_complete(answers: tuple[bytes | int, ...]) -> None:
    assert not count(*answers).complete


def test_a_dump_with_gaps_is_repeated_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    gap, whole = (sockets(3), errno.ENOBUFS, DONE), (sockets(5), DONE)
    monkeypatch.setattr(inet_diag, "_are_live_rare", lambda: True)

    def take(*dumps: tuple[bytes | int, ...]) -> tuple[inet_diag.Census, int]:
        left = list(dumps)
        monkeypatch.setattr(inet_diag, "SockDiag", lambda: Context(*left.pop(0)))
        return inet_diag.take_census(PORTS, PortSet()), len(dumps) - len(left)

    class Context(Scripted):
        def __exit__(self, *_error: object) -> None:
            pass

    census, asked = take(gap, whole, whole)
    assert (census.states[6], census.complete, asked) == (5, True, 2)
    census, asked = take(gap, gap, gap, whole)
    assert (census.states[6], census.complete, asked) == (3, False, 3)

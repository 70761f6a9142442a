# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink reader on answers that no kernel should give, and on dumps that break off."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import SockDiagError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.inet_diag import SockDiag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable

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
        self._socket: Any = self
        self._answers: Iterator[bytes | int] = iter(answers)

    def send(self, _request: bytes) -> None:
        pass

    def recvmsg(self, size: int) -> tuple[bytes, list[Any], int, None]:
        answer = next(self._answers)
        if isinstance(answer, int):
            raise OSError(answer, "as told")
        return answer[:size], [], socket.MSG_TRUNC if len(answer) > size else 0, None


def count(*answers: bytes | int, ports: PortRange = PORTS) -> SocketTable:
    return inet_diag.count_sockets(Scripted(*answers), ports, PortSet(), dumps=(1,))


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
        table = count(bytes(damaged[:cut]), DONE)
    except (SockDiagError, StopIteration):
        return
    assert all(number >= 0 for number in table.states.values())


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
    monkeypatch.setattr(inet_diag, "_are_live_rare", lambda _sockstat: True)

    def take(*dumps: tuple[bytes | int, ...]) -> tuple[SocketTable, int]:
        left = list(dumps)
        monkeypatch.setattr(inet_diag, "SockDiag", lambda: Context(*left.pop(0)))
        return inet_diag.read_sockets(PORTS, PortSet()), len(dumps) - len(left)

    class Context(Scripted):
        def __exit__(self, *_error: object) -> None:
            pass

    table, asked = take(gap, whole, whole)
    assert (table.states[6], table.complete, asked) == (5, True, 2)
    table, asked = take(gap, gap, gap, whole)
    assert (table.states[6], table.complete, asked) == (3, False, 3)


class Asked(Scripted):
    """Answers with nothing, and remembers for which states it was asked."""

    states: int = 0

    def __exit__(self, *_error: object) -> None:
        pass

    def send(self, request: bytes) -> None:
        Asked.states |= int(struct.unpack_from("=I", request, 16 + 52)[0])


@pytest.mark.parametrize(
    ("used", "tcp", "tcp6", "raw", "alloc", "may_be"),
    [
        (500, 60, 3, 0, 64, True),
        (500, 60, 3, 0, 63, False),  # the host has none more
        (60, 57, 2, 1, 900, False),  # programs of this network namespace have none more
        (61, 57, 2, 1, 900, True),
        (59, 57, 2, 1, 900, False),
    ],
)
def test_bound_ports_are_searched_only_where_there_can_be_some(
    monkeypatch: pytest.MonkeyPatch, used: int, tcp: int, tcp6: int, raw: int, alloc: int, *, may_be: bool
) -> None:
    few = {"TCP": {"inuse": tcp, "alloc": alloc}, "TCP6": {"inuse": tcp6}, "RAW": {"inuse": raw}, "FRAG": {"inuse": 9}}
    readings = iter([{**few, "sockets": {"used": used}}, {**few, "sockets": {"used": used}}])
    monkeypatch.setattr(inet_diag, "read_sockstat", lambda: next(readings))
    monkeypatch.setattr(inet_diag, "SockDiag", lambda: Asked(DONE, DONE))
    monkeypatch.setattr(Asked, "states", 0)
    inet_diag.read_sockets(PORTS, PortSet())
    assert (Asked.states >> 13 & 1, Asked.states & (1 << 13) - 1) == (may_be, inet_diag.EVERY_STATE)


def test_one_reading_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was opened between two numbers hides a bound socket."""
    readings = iter(
        [{"sockets": {"used": 99}, "TCP": {"inuse": tcp, "alloc": 11}} for tcp in (11, 10)],
    )
    monkeypatch.setattr(inet_diag, "read_sockstat", lambda: next(readings))
    monkeypatch.setattr(inet_diag, "SockDiag", lambda: Asked(DONE, DONE))
    monkeypatch.setattr(Asked, "states", 0)
    inet_diag.read_sockets(PORTS, PortSet())
    assert Asked.states >> 13


def test_no_sockstat_tells_nothing() -> None:
    assert not inet_diag._are_live_rare({})
    assert inet_diag._may_be_bound({})

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sockets of some pools: what the kernel is asked to pick out, and what is read from its answers."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import SockDiagError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import live
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.live import Key, bytecode, read_live

from .. import recorded

LOOPBACK, LOOPBACK6 = socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1")
WEB: Key = (LOOPBACK, LOOPBACK, 8080)
JUMP, SOURCE, DESTINATION = 1, 7, 8


def accepts(program: bytes, source: bytes, address: bytes, port: int) -> bool:
    """What the kernel makes of it (inet_diag_bc_run), which wants to arrive at the end exactly."""
    at = 0
    while at < len(program):
        code, yes, no = struct.unpack_from("=BBH", program, at)
        holds = False  # what jumps, jumps by no
        if code in (SOURCE, DESTINATION):
            family, bits, wanted = struct.unpack_from("=BBxxi", program, at + 4)
            value = program[at + 12 : at + 12 + bits // 8]
            given_value = source if code == SOURCE else address
            is_port = wanted == -1 or (code == DESTINATION and wanted == port)
            holds = is_port and len(given_value) == (4 if family == socket.AF_INET else 16) and given_value == value
        step = yes if holds else no
        assert step >= 4
        assert step % 4 == 0
        assert yes < 256
        at += step
    assert at in (len(program), len(program) + 4)  # else the kernel refuses the program
    return at == len(program)


addresses = st.sampled_from([bytes([10, 0, 0, last]) for last in range(3)] + [LOOPBACK6, bytes(15) + b"\2"])
ports = st.integers(1, 3)
connect = st.tuples(addresses, addresses, ports)
keys = st.lists(st.one_of(connect, addresses.map(lambda one: (one, None, None))), min_size=1, max_size=10)


@given(keys, connect)
def test_the_kernel_picks_out_what_is_wanted(wanted: list[Key], one: tuple[bytes, bytes, int]) -> None:
    matches = any(key[1:] == one[1:] or (key[1] is None and key[0] == one[0]) for key in wanted)
    assert accepts(bytecode(wanted), *one) == matches


@pytest.fixture
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    @contextlib.contextmanager
    def playback() -> Iterator[recorded.Playback]:
        yield recorded.Playback(request.param)

    monkeypatch.setattr(live, "SockDiag", playback)
    return str(request.param)


@pytest.mark.parametrize("kernel", recorded.KERNELS, indirect=True)
def test_live_sockets_with_cgroups_where_the_kernel_tells(kernel: str) -> None:
    """Since Linux 5.8. Whoever opened them lived in a cgroup; of those in FIN_WAIT2 some have no process any more."""
    found = read_live([WEB, (LOOPBACK6, None, None)])
    assert {one.key for one in found} <= {WEB, (LOOPBACK6, None, None)}
    clients = [one for one in found if one.key == WEB and 40000 <= one.port <= 40199]
    assert len(clients) == 5
    told = {one.cgroup is not None for one in clients if one.inode}
    assert told == {kernel in ("5.10.0", "6.12.107", "6.18.44")}


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("kernel", ["6.18.44"], indirect=True)
def test_there_is_a_limit() -> None:
    assert len(read_live([WEB], most=2)) == 2


@given(st.binary(max_size=200))
def test_any_attributes_are_read_or_passed_over(attributes: bytes) -> None:
    assert live._cgroup(attributes, 0, len(attributes)) is None or len(attributes) >= 12


def test_attributes_before_it_are_passed_over() -> None:
    number = 2**40 + 7
    forged = struct.pack("=HHI", 8, 15, 12 | 21 << 16)  # a mark that looks like the beginning of what is wanted
    message = forged + struct.pack("=HHBxxx", 5, 8, 0) + struct.pack("=HHQ", 12, 21, number)
    assert live._cgroup(message, 0, len(message)) == number
    assert live._cgroup(message, 0, len(message) - 4) is None


def test_a_short_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(recorded.Playback):
        def __enter__(self) -> recorded.Playback:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def dump(self, states: int, bytecode: bytes = b"") -> Iterator[tuple[bytes, int]]:  # noqa: ARG002 - part of the call
            yield bytes(40), 40

    monkeypatch.setattr(live, "SockDiag", lambda: Short("6.18.44"))
    with pytest.raises(SockDiagError, match="only 40 bytes"):
        read_live([WEB])

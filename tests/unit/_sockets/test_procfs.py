# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procfs reader on what a kernel may print, and on what it never should."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import ProcfsError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import procfs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.procfs import Row, parse_row

PORTS = st.integers(0, 65535)
ADDRESSES = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))


def printed(number: int, row: Row) -> str:
    """A row as get_tcp4_sock() and get_timewait4_sock() print it: the columns shift once `number` has five digits."""

    def endpoint(address: bytes, port: int) -> str:
        words = struct.unpack(f"={len(address) // 4}I", address)
        return "".join(f"{word:08X}" for word in words) + f":{port:04X}"

    ends = f"{endpoint(row.source, row.port)} {endpoint(row.address, row.remote_port)}"
    timer = f"03:{row.left_ms // 10:08X}"
    return f"{number:4d}: {ends} {row.state:02X} 00000000:00000000 {timer} {row.resent:08X}     0        0 0 3\n"


@given(st.integers(0, 9999999), st.integers(1, 12), st.data(), PORTS, PORTS, st.integers(0, 6000))
def test_a_row_is_read_as_it_was_printed(
    number: int, state: int, data: st.DataObject, port: int, remote_port: int, left: int
) -> None:
    source = data.draw(ADDRESSES)
    address = data.draw(st.binary(min_size=len(source), max_size=len(source)))
    row = Row(state, source, port, address, remote_port, left * 10)
    assert parse_row(printed(number, row)) == row


@given(st.text(st.characters(codec="ascii"), max_size=120))
def test_anything_else_is_an_error(line: str) -> None:
    with contextlib.suppress(ProcfsError):
        parse_row(line)


@given(st.data())
def test_a_damaged_row_is_a_row_or_an_error(data: st.DataObject) -> None:
    line = printed(1, Row(6, socket.inet_aton("192.0.2.1"), 40000, socket.inet_aton("192.0.2.2"), 80, 1000))
    at = data.draw(st.integers(0, len(line) - 1))
    damaged = line[:at] + data.draw(st.text(st.characters(codec="ascii"), max_size=3)) + line[at + 1 :]
    with contextlib.suppress(ProcfsError):
        parse_row(damaged)


def test_ten_thousand_rows_and_more(tmp_path: Path) -> None:
    """With five digits in front, a reader by column loses a third of the rows."""
    source, address = ipaddress.ip_address("192.0.2.1").packed, ipaddress.ip_address("192.0.2.2").packed
    rows = [Row(6, source, 20000 + number, address, 80, 30000) for number in range(12000)]
    (tmp_path / "net").mkdir()
    text = "  sl  local_address ...\n" + "".join(printed(number, row) for number, row in enumerate(rows))
    (tmp_path / "net/tcp").write_text(text)
    table = procfs.read_sockets(PortRange(20000, 39999), PortSet(), str(tmp_path))
    assert table.time_wait.count((source, address, 80)) == 12000


def test_syns_sent_again_are_counted(tmp_path: Path) -> None:
    """Of connections that wait, and of no others."""
    source, address = (socket.inet_aton(text) for text in ("192.0.2.1", "192.0.2.2"))
    states = [(2, 1), (2, 0), (2, 7), (1, 3), (6, 2)]
    rows = [Row(state, source, 20000 + number, address, 80, 0, resent) for number, (state, resent) in enumerate(states)]
    (tmp_path / "net").mkdir()
    text = "  sl  local_address ...\n" + "".join(printed(number, row) for number, row in enumerate(rows))
    (tmp_path / "net/tcp").write_text(text)
    table = procfs.read_sockets(PortRange(20000, 39999), PortSet(), str(tmp_path))
    assert table.syn_resent == {(source, address, 80): 2}


def test_a_damaged_file_is_an_error_not_a_short_count(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text("  sl  local_address ...\n   0: 0100007F:1F90 0000\n")
    with pytest.raises(ProcfsError, match="not a row of"):
        procfs.read_sockets(PortRange(20000, 39999), PortSet(), str(tmp_path))


def udp(tmp_path: Path, *owned: tuple[int, list[int]]) -> tuple[set[int], set[int]]:
    """Sockets that are not connected: uid and ports."""
    (tmp_path / "net").mkdir()
    zero = bytes(4)
    rows = [
        printed(number, Row(7, zero, port, zero, 0, 0)).replace(" 0        0 0 3", f" {uid}        0 0 3")
        for uid, ports in owned
        for number, port in enumerate(ports)
    ]
    (tmp_path / "net" / "udp").write_text("head\n" + "".join(rows))
    return procfs.udp_ports(str(tmp_path))


RANDOM = [20000 + 37 * number for number in range(16)]


def test_many_udp_ports_without_pattern_are_clients(tmp_path: Path) -> None:
    services, clients = udp(tmp_path, (0, [53, 123]), (101, [53, *RANDOM]), (102, list(range(30000, 30100, 2))))
    assert services == {53, 123, *range(30000, 30100, 2)}
    assert clients == set(RANDOM)


def test_few_udp_ports_of_each_user_are_services(tmp_path: Path) -> None:
    services, clients = udp(tmp_path, (0, RANDOM[:8]), (101, RANDOM[8:]), (102, [*RANDOM[:3], 161, 162, 500]))
    assert (services, clients) == ({*RANDOM, 161, 162, 500}, set())

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP sockets against the range: when they are worth reading, and what they leave."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import procfs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.probe import PORT, Answer
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import udp
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.describe import describe_pool
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_thresholds

RANGE, RESERVED = PortRange(40000, 40100), PortSet([(40001, 40001)])  # 100 of 101, and none is left out
THRESHOLDS = check_thresholds(0.4, 0.5)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ANY, HOST = "00000000", "010012C6"
ANY6, HOST6, MAPPED = "0" * 32, "000099FD000000000000000001000000", "0000000000000000FFFF0000010012C6"


def row(address: str, port: int, state: int) -> str:
    return f"   1: {address}:{port:04X} {'0' * len(address)}:0000 {state:02X} 0:0 00:00000000 00000000 0 0 7 2 0 0\n"


@pytest.mark.parametrize(("number", "number6", "near"), [(71, 0, False), (72, 0, True), (40, 32, True), (0, 0, False)])
def test_sockets_are_read_where_there_are_many(number: int, number6: int, near: bool) -> None:
    sockstat = {"UDP": {"inuse": number, "mem": 900}, "UDP6": {"inuse": number6}}
    assert udp.may_be_near(sockstat, RANGE, RESERVED, THRESHOLDS) is near
    assert not udp.may_be_near({}, RANGE, RESERVED, THRESHOLDS)


def test_a_port_counts_once_whoever_shares_it(tmp_path: Path) -> None:
    """And a port of one IPv6 address alone is free to IPv4."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/udp").write_text(HEAD + row(ANY, 40000, 7) * 2 + row(HOST, 40002, 1) + row(ANY, 53, 7))
    (tmp_path / "net/udp6").write_text(HEAD + row(ANY6, 40004, 7) + row(MAPPED, 40006, 1) + row(HOST6, 40008, 7))
    states = procfs.udp_states(str(tmp_path))
    assert {port: dict(numbers) for port, numbers in states.items()} == {
        40000: {7: 2},
        40002: {1: 1},
        53: {7: 1},
        40004: {7: 1},
        40006: {1: 1},
    }
    pool = udp.udp_pool(states, RANGE, RESERVED)
    assert (pool.blocked, pool.usable, pool.live) == (4, 100, 5)
    assert pool.states == {"unconnected": 3, "connected": 2}


@pytest.mark.parametrize(
    ("taken", "answer", "level"),
    [
        (60, None, "ok"),
        (85, None, "warning"),
        (95, None, "critical"),
        (100, None, "exhausted"),
        (100, Answer(0, None, bytes(4), 40000, 3.0, 3), "critical"),
        (97, Answer(errno.EADDRINUSE, PORT, None, None, 9.0, 1), "exhausted"),
    ],
)
def test_the_level(taken: int, answer: Answer | None, level: str) -> None:
    ports = [port for port in range(40000, 40101) if port not in RESERVED][:taken]
    pool = udp.udp_pool({port: {7: 1} for port in ports}, RANGE, RESERVED)._replace(answer=answer)
    described = describe_pool(pool, THRESHOLDS)
    assert (described["level"], described["blocked"], described["reusable"]) == (level, taken, 0)
    assert (described["source"], described["address"], described["port"]) == (None, None, None)
    assert described["rate"] == {"last_1s": 0.0, "last_10s": 0.0, "last_60s": 0.0}


def test_thresholds_that_leave_more_room_count_for_udp_too() -> None:
    """Half of the ports means nothing to its search; what a user calls enough does."""
    pool = udp.udp_pool({port: {7: 1} for port in range(40000, 40096)}, RANGE, RESERVED)
    assert pool.blocked / pool.usable > 0.9
    assert pool.level(THRESHOLDS) == "critical"
    assert pool.level(check_thresholds(0.97, 0.98)) == "ok"

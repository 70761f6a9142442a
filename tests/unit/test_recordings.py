# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers against six real kernels, whose true counts are known (recordings/README.md)."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet, ports_in_force
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.time_wait import reuse_in_force
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import procfs as sockets_procfs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import pools
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.describe import (
    describe_pool,
    describe_ports,
    describe_sockets,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_thresholds

from . import recorded
from ._sockets.plain import contents
from .recorded import KERNELS, OLD_KERNELS

THRESHOLDS = check_thresholds(0.4, 0.5)


def netlink(kernel: str, stretch: int = 0) -> SocketTable:
    ports = ports_in_force(recorded.sysctls(kernel))
    return inet_diag.count_sockets(recorded.Playback(kernel, stretch), *ports)


def procfs(kernel: str) -> SocketTable:
    return sockets_procfs.read_sockets(
        *ports_in_force(recorded.sysctls(kernel)), proc=str(recorded.ROOT / kernel / "proc")
    )


def destinations(kernel: str, table: SocketTable, **sysctls: str) -> dict[str, dict[str, Any]]:
    values = {**recorded.sysctls(kernel), **{f"net.ipv4.{key}": value for key, value in sysctls.items()}}
    ports = describe_ports(*ports_in_force(values), table, two_pass=True)
    reuse = reuse_in_force(features.describe(recorded.release(kernel), values), values)
    found = [
        describe_pool(pools.connect_pool(one, table, ports["usable"], reuse), THRESHOLDS)
        for one in pools.most_blocked(table, reuse, 10)
    ]
    return {f"{one['address']} {one['port']}": one for one in found}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("read", [netlink, procfs])
def test_ports(kernel: str, read: Any) -> None:
    table = read(kernel)
    assert table.listening == {8080, 40050, 9090}
    ports = describe_ports(*ports_in_force(recorded.sysctls(kernel)), table, two_pass=True)
    assert ports == {"low": 40000, "high": 40199, "size": 200, "reserved": 0, "held": 1, "usable": 199}


@pytest.mark.parametrize("kernel", OLD_KERNELS)
@pytest.mark.parametrize("read", [netlink, procfs])
def test_true_counts_where_nothing_was_reused(kernel: str, read: Any) -> None:
    table = read(kernel)
    assert describe_sockets(table) == {
        "ESTABLISHED": 2 * (3 + 2),
        "SYN_SENT": 0,
        "SYN_RECV": 0,
        "FIN_WAIT1": 0,
        "FIN_WAIT2": 2,
        "TIME_WAIT": 30 + 4 + 5 + 5 + 1,
        "CLOSE": 0,
        "CLOSE_WAIT": 2,
        "LAST_ACK": 0,
        "LISTEN": 3,
        "CLOSING": 0,
    }
    found = destinations(kernel, table, tcp_tw_reuse="0")
    # Four more connections to 8080 were closed by the server: they are in TIME_WAIT at its own port and block nothing.
    assert {name: (one["time_wait"], one["live"], one["blocked"]) for name, one in found.items()} == {
        "127.0.0.1 8080": (30 + 1, 3 + 2, 36),  # one of them from an IPv6 socket, v4-mapped
        "127.0.0.1 9090": (5, 2, 7),
        "::1 9090": (5, 0, 5),
    }
    assert found["127.0.0.1 8080"]["saturation"] == round(36 / 199, 4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_ways_agree(kernel: str) -> None:
    by_netlink, by_procfs = netlink(kernel), procfs(kernel)
    assert describe_sockets(by_netlink) == describe_sockets(by_procfs)
    assert by_netlink.live == by_procfs.live
    counts = [{key: one.time_wait.count(key) for key in one.time_wait} for one in (by_netlink, by_procfs)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stretch", [1, 3])
def test_messages_need_not_have_one_length(kernel: str, stretch: int) -> None:
    assert contents(netlink(kernel, stretch)) == contents(netlink(kernel))


@pytest.mark.parametrize("kernel", KERNELS[3:])
def test_newer_kernels_took_ports_over(kernel: str) -> None:
    found = destinations(kernel, netlink(kernel))
    assert 20 <= found["127.0.0.1 8080"]["time_wait"] <= 31
    assert found["127.0.0.1 8080"]["live"] == 5
    assert found["127.0.0.1 8080"]["hold_seconds"] == 1.0  # tcp_tw_reuse is 2, and this is loopback


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_reused_ports_are_not_blocked(kernel: str) -> None:
    """The recording was made 1.2 s after the last connection was closed; those kernels need up to 2 s."""
    table = netlink(kernel)
    blocked = destinations(kernel, table)["127.0.0.1 8080"]["blocked"]
    reused = destinations(kernel, table, tcp_tw_reuse="1")["127.0.0.1 8080"]
    assert blocked == 36
    assert 5 <= reused["blocked"] < 36
    assert reused["hold_seconds"] == 2.0
    assert destinations(kernel, table, tcp_tw_reuse="2")["127.0.0.1 8080"] == reused  # 2 is taken for 1
    assert destinations(kernel, table, tcp_tw_reuse="1", tcp_timestamps="0")["127.0.0.1 8080"]["blocked"] == 36


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stretch", [0, 3])
def test_one_dump_counts_what_two_count(kernel: str, stretch: int) -> None:
    ports = ports_in_force(recorded.sysctls(kernel))
    table = inet_diag.count_sockets(recorded.Playback(kernel, stretch), *ports, dumps=(~0,))
    assert contents(table) == contents(netlink(kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_many_reserved_ports_do_not_change_the_counts(kernel: str) -> None:
    port_range, _none = ports_in_force(recorded.sysctls(kernel))
    reserved = PortSet.of(range(30001, 39999, 2))
    table = inet_diag.count_sockets(recorded.Playback(kernel), port_range, reserved)
    assert contents(table) == contents(netlink(kernel))


@pytest.mark.parametrize(
    ("kernel", "recycle", "modes", "delay", "two_pass"),
    [
        ("3.10.108", True, [0, 1], 2000, False),
        ("4.4.178", True, [0, 1], 2000, False),
        ("4.9.229", True, [0, 1], 2000, True),
        ("5.10.0", False, [0, 1, 2], 1000, True),
        ("6.12.107", False, [0, 1, 2], 1000, True),
        ("6.18.44", False, [0, 1, 2], 1000, True),
    ],
)
def test_what_the_kernel_can(kernel: str, recycle: bool, modes: list[int], delay: int, two_pass: bool) -> None:
    found = features.describe(recorded.release(kernel), recorded.sysctls(kernel))
    assert found["release"].startswith(kernel)
    assert found["tcp_tw_recycle"]["supported"] is recycle
    assert found["tcp_tw_reuse"]["modes"] == modes
    assert found["reuse_delay"]["milliseconds"] == delay
    assert found["two_pass_port_search"]["supported"] is two_pass
    assert all(part["how"] for part in found.values() if isinstance(part, dict))

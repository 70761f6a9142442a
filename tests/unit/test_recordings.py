# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers against six real kernels, whose true counts are known (recordings/README.md)."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import procfs as sockets_procfs
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import Census
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import saturation

from . import recorded
from .recorded import KERNELS, OLD_KERNELS

THRESHOLDS = saturation.check_thresholds(0.4, 0.5)


def netlink(kernel: str, stretch: int = 0) -> Census:
    ports = saturation.ports_in_force(recorded.sysctls(kernel))
    return inet_diag.count_sockets(recorded.Playback(kernel, stretch), *ports)


def procfs(kernel: str) -> Census:
    return sockets_procfs.take_census(
        *saturation.ports_in_force(recorded.sysctls(kernel)), proc=str(recorded.ROOT / kernel / "proc")
    )


def counted(census: Census) -> dict[str, Any]:
    """All that is in a census, whatever the order in which the kernel told of the sockets."""
    return {**vars(census), "sample": sorted(census.sample)}


def destinations(kernel: str, census: Census, **sysctls: str) -> dict[str, dict[str, Any]]:
    values = {**recorded.sysctls(kernel), **{f"net.ipv4.{key}": value for key, value in sysctls.items()}}
    ports = saturation.describe_ports(*saturation.ports_in_force(values), census)
    reuse = saturation.reuse_in_force(features.describe(recorded.release(kernel), values), values)
    found = [
        saturation.describe_destination(one, census, ports["usable"], reuse, THRESHOLDS)
        for one in saturation.most_loaded(census, reuse, 10)
    ]
    return {f"{one['address']} {one['port']}": one for one in found}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("read", [netlink, procfs])
def test_ports(kernel: str, read: Any) -> None:
    census = read(kernel)
    assert census.listening == {8080, 40050, 9090}
    ports = saturation.describe_ports(*saturation.ports_in_force(recorded.sysctls(kernel)), census)
    assert ports == {"low": 40000, "high": 40199, "size": 200, "reserved": 0, "held": 1, "usable": 199}


@pytest.mark.parametrize("kernel", OLD_KERNELS)
@pytest.mark.parametrize("read", [netlink, procfs])
def test_true_counts_where_nothing_was_reused(kernel: str, read: Any) -> None:
    census = read(kernel)
    assert saturation.describe_sockets(census) == {
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
    found = destinations(kernel, census, tcp_tw_reuse="0")
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
    assert saturation.describe_sockets(by_netlink) == saturation.describe_sockets(by_procfs)
    assert by_netlink.live == by_procfs.live
    counts = [{key: sum(ticks.values()) for key, ticks in one.time_wait.items()} for one in (by_netlink, by_procfs)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stretch", [1, 3])
def test_messages_need_not_have_one_length(kernel: str, stretch: int) -> None:
    assert vars(netlink(kernel, stretch)) == vars(netlink(kernel))


@pytest.mark.parametrize("kernel", KERNELS[3:])
def test_newer_kernels_took_ports_over(kernel: str) -> None:
    found = destinations(kernel, netlink(kernel))
    assert 20 <= found["127.0.0.1 8080"]["time_wait"] <= 31
    assert found["127.0.0.1 8080"]["live"] == 5
    assert found["127.0.0.1 8080"]["hold_seconds"] == 1.0  # tcp_tw_reuse is 2, and this is loopback


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_reused_ports_are_not_blocked(kernel: str) -> None:
    """The recording was made 1.2 s after the last connection was closed; those kernels need up to 2 s."""
    census = netlink(kernel)
    blocked = destinations(kernel, census)["127.0.0.1 8080"]["blocked"]
    reused = destinations(kernel, census, tcp_tw_reuse="1")["127.0.0.1 8080"]
    assert blocked == 36
    assert 5 <= reused["blocked"] < 36
    assert reused["hold_seconds"] == 2.0
    assert destinations(kernel, census, tcp_tw_reuse="2")["127.0.0.1 8080"] == reused  # 2 is taken for 1
    assert destinations(kernel, census, tcp_tw_reuse="1", tcp_timestamps="0")["127.0.0.1 8080"]["blocked"] == 36


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stretch", [0, 3])
def test_one_walk_counts_what_two_count(kernel: str, stretch: int) -> None:
    ports = saturation.ports_in_force(recorded.sysctls(kernel))
    census = inet_diag.count_sockets(recorded.Playback(kernel, stretch), *ports, walks=(~0,))
    assert counted(census) == counted(netlink(kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_many_reserved_ports_do_not_change_the_counts(kernel: str) -> None:
    port_range, _none = saturation.ports_in_force(recorded.sysctls(kernel))
    reserved = PortSet.of(range(30001, 39999, 2))
    census = inet_diag.count_sockets(recorded.Playback(kernel), port_range, reserved)
    assert vars(census) == vars(netlink(kernel))


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


@pytest.mark.parametrize("kernel", KERNELS)
def test_counters(kernel: str) -> None:
    proc = str(recorded.ROOT / kernel / "proc")
    assert sockets_procfs.read_sockstat(proc)["TCP"]["tw"] >= 40
    counters = sockets_procfs.read_netstat(proc)
    assert "TWRecycled" in counters["TcpExt"]
    assert counters["IpExt"]["InOctets"] > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_counters_of_two_files(kernel: str) -> None:
    """What the gate of a rollout goes by. SYNs sent again have a counter of their own since Linux 3.15."""
    counters = sockets_procfs.read_counters(str(recorded.ROOT / kernel / "proc"))
    assert counters["ActiveOpens"] == 52
    assert {"AttemptFails", "TWRecycled", "PAWSActive", "PAWSEstab"} <= counters.keys()
    assert ("TCPSynRetrans" in counters) is (kernel != "3.10.108")
    assert ("PAWSPassive" in counters) is (kernel in OLD_KERNELS)
    assert "InOctets" not in counters

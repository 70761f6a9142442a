# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings that only old kernels can show, from recordings of them; and what holds for all findings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.counters import Conntrack
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import ports_in_force
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import findings, nat_findings, stuck
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.describe import describe_pool
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.findings import Evidence, Finding
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.nat import Nat
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_thresholds
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.pools import CONNECT, SURE, Doubt, Pool
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import Waiting
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import gateways

from .. import recorded
from ..recorded import KERNELS, OLD_KERNELS

ROOT = Path(__file__).parents[3]


def find(
    kernel: str,
    recycle_lines: tuple[tuple[str, int], ...] = (),
    pools: tuple[dict[str, Any], ...] = (),
    conntrack: Conntrack | None = None,
    counted: dict[str, int] | None = None,
    port_lines: tuple[dict[str, Any], ...] = (),
    doubt: Doubt = SURE,
    **sysctls: str,
) -> dict[str, Finding]:
    values = {**recorded.sysctls(kernel), **{f"net.ipv4.{key}": value for key, value in sysctls.items()}}
    port_range, reserved = ports_in_force(values)
    evidence = Evidence(
        kernel=features.describe(recorded.release(kernel), values),
        sysctls=values,
        port_range=port_range,
        reserved=reserved,
        usable=port_range.size,
        pools=pools,
        listening=(),
        overflows=0,
        nat=Nat(conntrack),
        counted=counted or {},
        recycle_lines=recycle_lines,
        port_lines=port_lines,
        doubt=doubt,
    )
    return {one["id"]: one for one in findings.find(evidence)}


def described(states: dict[str, int]) -> dict[str, Any]:
    """A pool of a thousand ports with live connections in these states."""
    key = (b"\xc6\x12\0\1", b"\xc6\x12\0\2", 443)
    pool = Pool(CONNECT, key, 1000, sum(states.values()), states, Waiting({}, 60000))
    return describe_pool(pool, check_thresholds(0.4, 0.5))


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_recycle_on(kernel: str) -> None:
    """As a write of 1 leaves it; 7 is stored as 7 there."""
    assert find(kernel, tcp_tw_recycle="1")["recycle-on"]["severity"] == "critical"
    assert find(kernel, tcp_tw_recycle="7")["recycle-on"]["evidence"] == {"tcp_tw_recycle": 7}
    assert "recycle-on" not in find(kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_reuse_two_means_one_on_old_kernels(kernel: str) -> None:
    assert ("reuse-two-means-one" in find(kernel, tcp_tw_reuse="2")) == (kernel in OLD_KERNELS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_recorded_hosts_are_sound(kernel: str) -> None:
    assert find(kernel) == {}


def test_stale_line() -> None:
    found = find("6.18.44", (("/etc/sysctl.conf", 7),))
    assert found["recycle-line-stale"]["summary"].startswith("/etc/sysctl.conf:7 sets tcp_tw_recycle")
    assert list(found) == ["recycle-line-stale"]


def test_a_refused_reservation() -> None:
    """No word of it where something else reserves these ports, nor of a range that the kernel refuses."""
    line = {
        "key": "net.ipv4.ip_local_reserved_ports",
        "file": "/etc/sysctl.d/50-site.conf",
        "line": 3,
        "value": "30000-32767 # node ports",
        "means": "30000-32767",
        "refused": True,
    }
    found = find("6.18.44", port_lines=(line,))
    assert found["reservation-refused"]["summary"] == (
        "The kernel refuses the line /etc/sysctl.d/50-site.conf:3, meant to reserve 30000-32767."
    )
    assert find("6.18.44", port_lines=(line,), ip_local_reserved_ports="30000-32767") == {}
    assert find("6.18.44", port_lines=({**line, "refused": False},)) == {}
    assert find("6.18.44", port_lines=({**line, "key": "net.ipv4.ip_local_port_range", "means": None},)) == {}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_search_in_one_pass_leaves_out_no_port(kernel: str) -> None:
    """The default range of Linux 3.10 is odd."""
    assert ("odd-range" in find(kernel, ip_local_port_range="32768 61000")) == (kernel not in ("3.10.108", "4.4.178"))


@pytest.mark.parametrize(
    ("buckets", "lowered"), [("131072", False), ("512", False), ("256", False), ("128", True), ("5000", True)]
)
def test_defaults_of_small_machines_were_not_lowered(buckets: str, lowered: bool) -> None:
    assert ("tw-buckets-lowered" in find("6.18.44", tcp_max_tw_buckets=buckets)) is lowered


@pytest.mark.parametrize(
    ("table", "identifiers"),
    [
        (Conntrack(99, 100, 0, 7), ["conntrack-near-limit"]),  # full, without NAT
        (Conntrack(9, 100, 0, 7), ["conntrack-drops"]),
        (Conntrack(9, 100, 7, 7), ["nat-failures"]),  # NAT counts both
        (Conntrack(99, 100, 7, 9), ["conntrack-near-limit", "nat-failures"]),
        (Conntrack(9, 0, 0, 7), ["conntrack-drops"]),  # a table without limit
        (Conntrack(9, 100, 0, 0), []),
    ],
)
def test_what_connection_tracking_lost(table: Conntrack, identifiers: list[str]) -> None:
    found = find("6.18.44", conntrack=table)
    assert list(found) == identifiers
    assert not any("0 connections" in one["summary"] for one in found.values())


@pytest.mark.parametrize(
    ("opened", "syns", "timeouts", "waiting", "severity"),
    [
        (5000, 100, 100, 0, "info"),  # it may be long ago
        (5000, 100, 100, 3, "warning"),
        (5000, 99, 100, 3, None),  # few
        (5001, 100, 100, 3, None),  # a small share
        (5000, 90000, 20, 0, None),  # answers to the SYNs of others, sent again: no connection of ours timed out
        (0, 0, 0, 0, None),
    ],
)
def test_syns_sent_again(opened: int, syns: int, timeouts: int, waiting: int, severity: str | None) -> None:
    counted = {"ActiveOpens": opened, "TCPSynRetrans": syns, "TCPTimeouts": timeouts}
    found = find("6.18.44", pools=(described({"SYN_SENT": waiting}),), counted=counted)
    assert [one["severity"] for one in found.values()] == ([severity] if severity else [])
    if severity:
        evidence = {"opened": 5000, "sent_again": 100, "waiting": waiting, "unanswered": []}
        assert found["syn-retransmissions"]["evidence"] == evidence
        assert "NAT without a free port" in found["syn-retransmissions"]["remedy"]


@pytest.mark.parametrize(
    ("states", "remedy"),
    [
        ({"ESTABLISHED": 900}, "closes none (a leak"),
        ({"CLOSE_WAIT": 900}, "a program on this host has not"),
        ({"ESTABLISHED": 300, "CLOSE_WAIT": 300, "SYN_SENT": 300}, "use fewer connections"),
    ],
)
def test_keep_alive_is_no_cure_for_what_is_live(states: dict[str, int], remedy: str) -> None:
    found = find("6.18.44", pools=(described(states),))
    assert remedy in found["destination-critical"]["remedy"]
    assert "(HTTP keep-alive, a pool)" not in " ".join(one["remedy"] for one in found.values())
    assert ("too-many-open" in found) is (states == {"ESTABLISHED": 900})
    assert "reuse-loopback-only" not in found


@pytest.mark.parametrize("held", [False, True])
def test_no_wider_reuse_is_advised_where_bind_has_chosen_all_ports(held: bool) -> None:
    """A bound socket reuses no port in TIME_WAIT, whatever tcp_tw_reuse is."""
    key = (b"\xc6\x12\0\1", b"\xc6\x12\0\2", 443)
    waiting = Waiting({59000: 1000}, 60000)
    pool = describe_pool(Pool(CONNECT, key, 1000, 0, {}, waiting), check_thresholds(0.4, 0.5))
    found = find("6.18.44", pools=(pool,), doubt=SURE._replace(held=held), tcp_tw_reuse="2")
    assert ("reuse-loopback-only" in found) is not held
    remedies = " ".join(one["remedy"] for one in found.values())
    assert ("frees ports after 1 s (tcp_tw_reuse) if the peer has TCP timestamps;" in remedies) is not held


def test_a_port_that_one_search_passes_over_is_usable_once_it_is_used() -> None:
    """Of an odd range: 1,001 of 1,000 would be nonsense."""
    one = described({"ESTABLISHED": 1001})
    assert (one["blocked"], one["usable"], one["saturation"]) == (1001, 1001, 1.0)
    assert described({"ESTABLISHED": 999})["usable"] == 1000


def test_many_open_connections_are_usual_while_ports_are_left() -> None:
    assert find("6.18.44", pools=(described({"ESTABLISHED": 390}),)) == {}


def test_the_slow_half_is_told_with_the_time_that_was_measured() -> None:
    one = described({"CLOSE_WAIT": 600})
    answer = {"errno": 0, "lacks": None, "source": None, "port": 40001, "search_us": 2104.0, "asked": 1}
    sysctls = {"ip_local_port_range": "40000 40999"}
    told = find("6.18.44", pools=({**one, "probe": answer},), **sysctls)["destination-critical"]
    assert told["summary"].endswith("The half that connect() tries first is used up: it took 2.1 ms.")
    assert told["evidence"]["search_us"] == 2104.0
    first = find("6.18.44", pools=({**one, "probe": {**answer, "port": 40002}},), **sysctls)["destination-critical"]
    assert "used up" not in first["summary"]


@pytest.mark.parametrize(
    ("states", "identifiers"),
    [
        ({"LAST_ACK": 10, "FIN_WAIT1": 5, "CLOSING": 5, "ESTABLISHED": 9}, ["closing-unanswered"]),
        ({"LAST_ACK": 10, "FIN_WAIT1": 5, "CLOSING": 4, "ESTABLISHED": 90}, []),
        ({"CLOSE_WAIT": 20, "SYN_SENT": 20}, ["close-wait-leak", "syn-sent-unanswered"]),
    ],
)
def test_states_from_a_tenth_of_the_ports_on(states: dict[str, int], identifiers: list[str]) -> None:
    assert list(find("6.18.44", pools=(described(states),))) == identifiers


def test_every_finding_is_documented_and_provoked() -> None:
    source = "".join(Path(module.__file__).read_text() for module in (findings, nat_findings))
    identifiers = set(re.findall(r'_finding\(\s*"([a-z0-9-]+)"', source)) | {kind.id for kind in stuck.KINDS}
    assert len(identifiers) >= 18
    of_fleets = set(re.findall(r'"(nat-gateway-[a-z]+)"', Path(gateways.__file__).read_text()))
    documented = set(re.findall(r"^## ([a-z0-9-]+)$", (ROOT / "docs/findings.md").read_text(), re.MULTILINE))
    assert documented == identifiers | of_fleets
    provoked = ("test_findings.py", "test_field_cases.py", "test_nat.py", "test_nat_fleet.py")
    tests = "".join((ROOT / "tests/integration" / name).read_text() for name in provoked) + Path(__file__).read_text()
    assert [one for one in sorted(identifiers) if f'"{one}"' not in tests] == []

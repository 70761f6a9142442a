# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that a router gives to connections whose source it translates: how many, of how many, and when that is said.

The kernel is the oracle: it drops the SYN for which it finds no port.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.counters import read_counters
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._nat import ctnetlink, procfs, source_rules
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import COLUMNS, csv_rows
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import render
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from . import router as routers
from .inside import private
from .network import Network, observed
from .options import defaults_of
from .router import CLIENT6, MORE, SERVER, SERVER6, UDP, WAN, WAN6, many, router, same

PLAIN = 64512
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _nft() -> None:
    """Before a test is where there is no network."""
    routers.find_nft()


def pools(usage: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Of NAT, by translated source, destination and port."""
    return {(one["source"], one["address"], one["port"]): one for one in usage["pools"] if one["kind"] == "snat"}


def pool(usage: dict[str, Any], source: str = WAN, address: str = SERVER, port: int = 443) -> dict[str, Any]:
    return pools(usage)[source, address, port]


def finding(usage: dict[str, Any], identifier: str) -> dict[str, Any]:
    (found,) = (one for one in usage["findings"] if one["id"] == identifier)
    return found


def said(usage: dict[str, Any]) -> str:
    return " ".join(" ".join(describe(usage)).split())


@private
def test_plain_masquerade() -> None:
    """Clients on low ports have ranges of their own."""
    with router() as one:
        one.rule("masquerade")
        assert one.connect(same(300)) == 0
        assert one.connect(same(50, 700), to=(SERVER, 2049)) == 0
        assert one.connect(same(20, 123), to=(SERVER, 123), protocol=UDP) == 0
        usage = observed()
    assert {key: (found["blocked"], found["usable"]) for key, found in pools(usage).items()} == {
        (WAN, SERVER, 443): (300, PLAIN),
        (WAN, SERVER, 2049): (50, 424),
        (WAN, SERVER, 123): (20, 511),
    }
    assert pool(usage, port=123)["nat"]["protocol"] == "udp"
    assert pool(usage)["nat"] == {
        "protocol": "tcp",
        "zone": 0,
        "ports": "1024-65535",
        "by_rule": True,
        "addresses": 1,
        "flags": [],
        "search_fails": 0.0,
        "dropped": 0,
        "idle": 0,
    }
    assert usage["level"] == "ok"


RULES = [
    ("meta l4proto tcp masquerade to :2000-2099", []),
    ("meta l4proto tcp masquerade to :2000-2099 random", ["random"]),
    ("meta l4proto tcp masquerade to :2000-2099 fully-random", ["fully-random"]),
    (f"meta l4proto tcp snat to {WAN}:2000-2099 persistent", ["persistent"]),
    ("ip daddr 192.0.2.0/24 tcp dport 400-500 masquerade to :2000-2099", []),
]


@pytest.mark.parametrize(("rule", "flags"), RULES)
@private
def test_a_narrowed_range(rule: str, flags: list[str]) -> None:
    """Each level is said before the first SYN is dropped."""
    with router() as one:
        one.rule(rule)
        levels = []
        for step in range(5):
            assert one.connect(many(20, 20000 + step * 20)) == 0
            usage = observed(detail="auto")
            levels.append(usage["level"])
            assert (pool(usage)["blocked"], pool(usage)["usable"]) == (20 * step + 20, 100)
        assert one.connect(many(5, 30000)) == 5
    assert levels == ["ok", "ok", "warning", "critical", "exhausted"]
    assert pool(usage)["nat"]["flags"] == flags
    assert pool(usage)["nat"]["ports"] == "2000-2099"
    found = finding(usage, "snat-exhausted")
    assert found["destination"] == f"{SERVER}:443 behind {WAN} (ports 2000-2099)"
    assert "widen the range of the rule (2000-2099), or translate to more addresses" in found["remedy"]
    assert "Next: Find out why 100 SYNs are not answered" in said(usage)
    assert "EXHAUSTED: connections are dropped, NAT has given 100 of 100 ports" in said(usage)


@private
def test_several_addresses() -> None:
    """A client is given one of them, each has its own ports."""
    with router() as one:
        one.rule(f"meta l4proto tcp snat to {MORE[0]}-{MORE[2]}:3000-3999")
        assert one.connect(many(900, 20000, each=10)) == 0
        usage = observed()
    found = pools(usage)
    assert {source for source, _address, _port in found} <= set(MORE)
    assert sum(each["blocked"] for each in found.values()) == 900
    assert {(each["usable"], each["nat"]["addresses"]) for each in found.values()} == {(1000, 3)}


@private
def test_two_rules_for_one_address() -> None:
    """Groups of clients that have ranges of their own do not take ports from one another."""
    with router() as one:
        one.nft(
            "table ip nat { chain p { type nat hook postrouting priority 100;\n"
            "ip saddr 10.1.0.0/16 meta l4proto tcp masquerade to :2000-2099;\n"
            "ip saddr 10.2.0.0/16 meta l4proto tcp masquerade to :3000-3399; }; }\n"
        )
        one.connect(many(90))
        one.connect(many(40, address="10.2.0.1"))
        usage = observed()
    found = {each["nat"]["ports"]: (each["blocked"], each["usable"], each["level"]) for each in usage["pools"]}
    assert found == {"2000-2099": (90, 100, "critical"), "3000-3399": (40, 400, "ok")}


OBSERVE = """
import json, sys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import run
print(json.dumps(run.run(json.loads(sys.argv[1]), False)))
"""
OPTIONS = {**defaults_of(port_usage_info), "path": "/none", "state_dir": "/none"}


@private
def test_a_router_that_is_another_network_namespace() -> None:
    """As one of a container engine, or of a virtual network. On the page and in the table of a spreadsheet too."""
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :2000-2099")
        assert one.connect(many(100)) == 0
        inode = Path("/proc/self/ns/net").stat().st_ino
        options = json.dumps({**OPTIONS, "namespaces": [str(inode)]})
        command = ["unshare", "--net", sys.executable, "-c", OBSERVE, options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "build")}
        usage = json.loads(subprocess.check_output(command, env=environment))
    (elsewhere,) = usage["namespaces"]
    assert (usage["own_level"], usage["level"], elsewhere["level"]) == ("ok", "exhausted", "exhausted")
    assert (pool(elsewhere)["blocked"], pool(elsewhere)["usable"]) == (100, 100)
    fleet = Fleet()
    fleet.on_play()
    fleet.on_task("netops.ephemeral_ports.port_usage_info")
    fleet.on_result("router", "netops.ephemeral_ports.port_usage_info", usage)
    report = make_report(fleet.hosts, META)
    page = "".join(render(report))
    assert f"{SERVER}:443" in page
    assert "2000-2099" in page
    rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in csv_rows(report["hosts"][0])]
    (row,) = [row for row in rows if row["kind"] == "snat"]
    assert (row["destination_level"], row["blocked"], row["source"]) == ("exhausted", 100, WAN)


@pytest.mark.parametrize("command", ["iptables-nft", "iptables-legacy"])
@private
def test_iptables(command: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    rules = [
        f"-p tcp -d {SERVER} -j SNAT --to-source {MORE[0]}-{MORE[1]}:3000-3099 --random-fully",
        "-p tcp ! --dport 80 -j MASQUERADE --to-ports 5000-5199",
        "-j MASQUERADE",
    ]
    with router() as one:
        for rule in rules:
            made = subprocess.run(
                [command, "-t", "nat", "-A", "POSTROUTING", *rule.split()], capture_output=True, check=False, text=True
            )
            if made.returncode:
                pytest.skip(made.stderr)
        read = source_rules.read()
        assert [each.ports for each in read.rules] == [(3000, 3099), (5000, 5199), None]
        assert read.readable
        one.connect(many(60, each=1))
        one.connect(many(70), to=("192.0.2.20", 443))
        one.connect(many(80), to=("192.0.2.20", 80))
        usage = observed()
    found = pools(usage)
    assert sum(each["blocked"] for key, each in found.items() if key[1] == SERVER) == 60
    assert {each["usable"] for key, each in found.items() if key[1] == SERVER} == {100}
    of_second = [(each["blocked"], each["usable"]) for each in usage["pools"] if each["address"] == "192.0.2.20"]
    assert (70, 200) in of_second  # what the exclamation mark says is not read: the last rule can be meant as well
    assert found[WAN, "192.0.2.20", 80]["blocked"] == 80
    assert found[WAN, "192.0.2.20", 80]["usable"] == PLAIN


@private
def test_ipv6() -> None:
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :2000-2099", family="ip6")
        one.connect(many(80, address=CLIENT6), to=(SERVER6, 443))
        usage = observed(detail="auto")
        again = observed(method="procfs")
    found = pool(usage, WAN6, SERVER6)
    assert (found["blocked"], found["usable"], found["level"]) == (80, 100, "critical")
    assert pool(again, WAN6, SERVER6)["blocked"] == 80


@private
def test_zones() -> None:
    """Each has all ports for itself."""
    with router() as one:
        one.nft(
            "table ip zones { chain o { type filter hook output priority raw;\n"
            "ip saddr 10.2.0.0/16 ct zone set 7; }; }\n"
        )
        one.rule("meta l4proto tcp masquerade to :2000-2099")
        one.connect(many(90))
        one.connect(many(70, address="10.2.0.1"))
        usage = observed()
        again = observed(method="procfs")
    for read in (usage, again):
        zones = {each["nat"]["zone"]: each["blocked"] for each in read["pools"] if each["kind"] == "snat"}
        assert zones == {0: 90, 7: 70}
    assert "(zone 7, ports 2000-2099)" in said(usage)


@private
def test_two_readers_count_the_same() -> None:
    with router() as one:
        one.rule("masquerade")
        one.connect(many(700))
        one.connect(many(300), to=(SERVER, 53), protocol=UDP)
        one.remember(many(400, 40000), 30000, 77)
        by_netlink, by_procfs = ctnetlink.read(), procfs.read()
    assert by_netlink.records.keys() == by_procfs.records.keys()
    for (key, left), (other, right) in zip(by_netlink.largest(1), by_procfs.largest(1), strict=True):
        assert key == other
        assert sorted(left.ports) == sorted(right.ports)
        assert sorted(left.states) == sorted(right.states)
        assert left.is_translated
        assert right.is_translated


@private
def test_udp() -> None:
    with router() as one:
        one.rule("meta l4proto udp masquerade to :2000-2099")
        assert one.connect(many(60), to=(SERVER, 53), protocol=UDP) == 0
        usage = observed(detail="auto")
    found = pool(usage, port=53)
    assert (found["blocked"], found["time_wait"], found["live"], found["hold_seconds"]) == (60, 60, 0, 30)
    assert found["rate"]["last_10s"] > 0
    assert "local resolver" in finding(usage, "snat-warning")["remedy"]


def _one_after_another() -> Iterator[tuple[str, int]]:
    """Two clients that use the same ports in order: the worst for a search that looks at ports in a row."""
    yield from many(56000, 2000, each=28000)


def _by_chance() -> Iterator[tuple[str, int]]:
    yield from many(60000, 32768, each=28000)


@pytest.mark.parametrize("clients", [_one_after_another, _by_chance])
@private
def test_the_level_comes_before_the_first_drop(clients: Callable[[], Iterator[tuple[str, int]]]) -> None:
    """Plain masquerade drops long before its range is full."""
    with router() as one:
        one.rule("masquerade")
        left, levels = list(clients()), []
        while left:
            now, left = left[:2000], left[2000:]
            levels.append(observed(detail="auto")["level"])
            if one.connect(now):
                break
        usage = observed(detail="auto")
    assert "exhausted" not in levels
    assert levels[0] == "ok"
    assert levels[-1] == "critical"
    assert levels[-3] in ("warning", "critical")
    found = pool(usage)
    assert found["saturation"] < 0.9
    assert found["nat"]["search_fails"] > 1e-2
    assert "nat-failures" in [each["id"] for each in usage["findings"]]
    assert finding(usage, "nat-failures")["destination"] == f"{SERVER}:443 behind {WAN}"
    assert finding(usage, "nat-failures")["severity"] == "critical"
    assert "of the searches for another one fail already" in finding(usage, "snat-critical")["summary"]


@private
def test_rate_and_forecast_from_the_ages_of_entries() -> None:
    """20 connections a second were closed over the last 60 s, of a range of 4,000 with 2,400 at steady state."""
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :10000-13999")
        for age in range(60):
            one.remember(many(20, 1024 + 20 * age), 10000 + 20 * age, 120 - age)
        usage = observed()
    found = pool(usage)
    assert (found["blocked"], found["time_wait"], found["hold_seconds"]) == (1200, 1200, 120)
    assert found["rate"]["last_10s"] == pytest.approx(20, rel=0.15)
    assert found["forecast"]["saturation"] == pytest.approx(0.6, rel=0.1)
    assert found["forecast"]["seconds_to_critical"] is None


@private
def test_a_forecast_of_a_shortage() -> None:
    """At 40 connections a second 3,000 ports are critical (75%) after 56 s: 20 s are over."""
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :10000-12999")
        for age in range(20):
            one.remember(many(40, 1024 + 40 * age), 10000 + 40 * age, 120 - age)
        usage = observed()
    found = pool(usage)
    assert found["level"] == "ok"
    assert found["forecast"]["seconds_to_critical"] == pytest.approx(36.2, rel=0.15)
    assert finding(usage, "snat-forecast")["severity"] == "warning"


@private
def test_what_frees_ports() -> None:
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :2000-2099")
        one.remember(many(60), 2000, 100)
        closed = finding(observed(), "snat-warning")["remedy"]
        one.remember(many(60, 30000), 2000, 400000, to=(SERVER, 80), state=3)
        usage = observed()
    assert "nf_conntrack_tcp_timeout_time_wait may be 60" in closed
    assert "keep their connections" in closed
    idle = [each["remedy"] for each in usage["findings"] if ":80 " in each["destination"]]
    assert "60 of these are open and were idle for hours" in idle[0]
    assert "7440 is enough (RFC 5382)" in idle[0]
    assert pool(usage, port=80)["nat"]["idle"] == 60


@private
def test_a_host_that_translates_nothing() -> None:
    """Entries alone, as of a firewall, are no reason to read them."""
    with router() as one:
        one.nft("table ip f { chain o { type filter hook output priority 0; ct state new accept; }; }\n")
        one.connect(many(500))
        asked: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ctnetlink, "read", lambda: asked.append("entries"))
            usage = observed()
    assert (usage["pools"], asked) == ([], [])
    assert not any(each["what"] == "nat" for each in usage["not_observed"])


@private
def test_it_says_what_it_could_not_read() -> None:
    with router() as one:
        one.rule("meta l4proto tcp masquerade to :2000-2099")
        one.connect(many(90))
        usage = observed(privileged=False, detail="auto")
    assert {"what": "nat", "number": 90, "why": "not_allowed"} in usage["not_observed"]
    assert "the ports of NAT (that needs root); 90 connections are tracked" in said(usage)
    assert pools(usage) == {}


@private
def test_what_few_entries_cost() -> None:
    """Neither rules nor entries are read."""
    asked: list[str] = []
    with router() as one, pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_rules, "read", lambda _proc: asked.append("rules"))
        patch.setattr(ctnetlink, "read", lambda: asked.append("entries"))
        one.rule("masquerade")
        one.connect(many(9))
        observed(detail="auto")
    assert asked == []


@private
def test_a_large_range_with_few_entries_is_not_read() -> None:
    asked: list[str] = []
    with router() as one, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctnetlink, "read", lambda: asked.append("entries"))
        one.rule("masquerade")
        one.connect(many(1000))
        assert observed(detail="auto")["level"] == "ok"
    assert asked == []


@private
def test_diagnose_on_a_client_behind_nat() -> None:
    """Its counters prove that no local port is missing, and its sockets are not read; who does not answer is named."""
    # So many ports that the sockets of other tests, which the kernel counts with these, prove nothing else.
    with Network(10000, 60001, "198.18.0.1") as network:
        assert network.leave_syn_sent(("198.18.0.1", 443), 20) == 20
        deadline = time.monotonic() + 30
        while read_counters()["TCPSynRetrans"] < 19:  # the first one was accepted
            assert time.monotonic() < deadline
            time.sleep(0.05)
        usage = observed(detail="auto")
    assert usage["method"] == "sockstat"
    assert usage["level"] == "ok"
    found = finding(usage, "syn-retransmissions")
    assert found["severity"] == "warning"
    assert found["destination"] == "198.18.0.1:443"
    assert "19 of them have sent it to 198.18.0.1:443 more than once. No local port is missing." in found["summary"]
    assert "NAT without a free port" in said(usage)

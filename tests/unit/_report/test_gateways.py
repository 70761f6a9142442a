# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have beyond a NAT gateway, added up: the arithmetic, what is missing in it, and how it is told."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._gateway import read_gateway
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_gateways, write_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.gateways import closed_within
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import headline
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.gateways import told_of

from .hearing import IDLE, LOOK, fleet_of

STEPS = 58
NOTHING_ELSE = {**IDLE, "not_observed": []}


def gateway(**value: object) -> Any:
    return read_gateway({"gateway": "nat-eu1", "ports": 400, "drops_from": 1, **value}, "web1")


def destination(live: int = 0, closed: list[int] | None = None, **different: object) -> dict[str, Any]:
    return {
        "address": "203.0.113.7",
        "port": 443,
        "usable": 28232,
        "live": live,
        "syn_resent": 0,
        "closed": closed or [],
        "known_seconds": 59.392,
        **different,
    }


def usage(
    *destinations: Any, left: tuple[int, int, int] = (0, 0, 0), of: Any = None, **different: object
) -> dict[str, Any]:
    left_out = dict(zip(("destinations", "sockets", "most"), left, strict=True))
    outside = {"destinations": list(destinations), "left_out": left_out}
    return {**NOTHING_ELSE, "gateway": of or gateway(), "outside": outside, **different}


def report(**usages: Any) -> Any:
    return make_report(fleet_of(*((name, LOOK, one) for name, one in usages.items())).hosts, META)


def group(**usages: Any) -> Any:
    (one,) = report(**usages)["summary"]["gateways"]
    return one


def test_no_gateway_no_group() -> None:
    assert report(web1=IDLE)["summary"]["gateways"] == []


def test_shares_of_three_hosts() -> None:
    found = group(
        web1=usage(destination(live=20)),
        web2=usage(destination(live=10), destination(live=5, port=80)),
        web3=usage(destination(live=90)),
    )
    first, second = found["destinations"]
    assert (first["destination"], first["held"], first["saturation"], first["level"]) == (
        *("203.0.113.7:443", 120, 0.3),
        "ok",
    )
    assert [(one["host"], one["held"], one["share"]) for one in first["shares"]] == [
        ("web3", 90, 0.75),
        ("web1", 20, 0.1667),
        ("web2", 10, 0.0833),
    ]
    assert (second["destination"], second["held"], found["hosts"], found["holes"]) == ("203.0.113.7:80", 5, 3, [])


STEADY = st.integers(0, 40)


@given(
    st.lists(st.tuples(st.integers(0, 500), STEADY), min_size=1, max_size=8),
    st.sampled_from([1, 30, 60, 120, 350]),
    st.integers(100, 70_000),
)
def test_held_is_live_and_rate_times_hold_time(hosts: list[tuple[int, int]], hold: int, ports: int) -> None:
    """Of steady loads, whatever the gateway remembers and the hosts do not."""
    ports = min(ports, 65_535)
    behind = gateway(hold_seconds=hold, ports=ports)
    usages = {
        f"web{number}": usage(destination(live, [each] * STEPS, usable=60_000), of=behind)
        for number, (live, each) in enumerate(hosts)
    }
    (one,) = group(**usages)["destinations"]
    rate = sum(each for _live, each in hosts) / 1.024
    wanted = sum(min(live, ports) for live, _each in hosts) + rate * hold
    assert one["held"] == pytest.approx(wanted, rel=0.03, abs=rate + 2)
    assert one["saturation"] == pytest.approx(min(1.0, wanted / ports), rel=0.03, abs=(rate + 2) / ports)
    assert one["forecast"]["rate"] == pytest.approx(rate, rel=0.05, abs=0.6)


@given(st.integers(5, 30), st.integers(11, 38))
def test_a_load_that_has_just_begun(rate: int, age: int) -> None:
    """What was before is nothing, and what comes is known."""
    (one,) = group(web1=usage(destination(0, [rate] * age), of=gateway(ports=20_000)))["destinations"]
    assert one["held"] == rate * age
    steady = rate / 1.024 * 120
    assert one["forecast"]["saturation"] == pytest.approx(steady / 20_000, rel=0.1, abs=0.01)


def test_when_it_is_full() -> None:
    (one,) = group(web1=usage(destination(0, [8] * 14)), web2=usage(destination(0, [8] * 14)))["destinations"]
    assert one["held"] == 224
    forecast = one["forecast"]
    assert forecast["seconds_to_exhausted"] == pytest.approx((400 - 224) / (16 / 1.024), rel=0.06)
    assert forecast["seconds_to_critical"] == pytest.approx((320 - 224) / (16 / 1.024), rel=0.06)


def test_linux_drops_syns_before_the_last_port_is_taken() -> None:
    behind = gateway(drops_from=0.75)
    (one,) = group(web1=usage(destination(live=300), of=behind))["destinations"]
    assert (one["level"], one["saturation"]) == ("exhausted", 0.75)
    (one,) = group(web1=usage(destination(live=275), of=behind))["destinations"]
    assert one["level"] == "critical"
    (one,) = group(web1=usage(destination(live=200), of=behind))["destinations"]
    assert one["level"] == "warning"


@given(st.integers(0, 3000), st.lists(st.integers(0, 300), max_size=STEPS), st.integers(1, 2000), st.integers(1, 300))
def test_a_host_holds_no_more_ports_than_it_has(live: int, closed: list[int], usable: int, steps: int) -> None:
    """With reuse the same port is closed many times, and is one at the gateway."""
    ages = closed_within(destination(live, closed, usable=usable), steps)  # type: ignore[arg-type]  # a plain dictionary
    assert len(ages) == steps
    assert sum(ages) <= max(0, usable - live) + 0.001


def test_where_ports_are_reused_the_last_second_tells_the_rate() -> None:
    one = destination(0, [50], known_seconds=1.024)
    assert closed_within(one, 117) == [50.0] * 117  # type: ignore[arg-type]  # the same


def test_each_host_has_ports_of_its_own() -> None:
    behind = gateway(preset="gcp_cloud_nat", ports=64)
    found = group(web1=usage(destination(live=60), of=behind), web2=usage(destination(live=3), of=behind))
    assert [(one["host"], one["held"], one["ports"], one["level"]) for one in found["destinations"]] == [
        ("web1", 60, 64, "critical"),
        ("web2", 3, 64, "ok"),
    ]


def test_what_is_missing_is_named_and_bounded() -> None:
    fleet = fleet_of(
        ("web1", LOOK, usage(destination(live=100))),
        ("web2", LOOK, usage(destination(live=5, port=80), left=(7, 20, 4))),
        ("web3", LOOK, {**NOTHING_ELSE, "gateway": gateway(), "blocked_at_most": 30}),
        ("web4", LOOK, {**NOTHING_ELSE, "gateway": gateway(), "blocked_at_most": 0}),
        ("web5", LOOK, usage(not_observed=[{"what": "namespaces", "number": 2, "why": "elsewhere"}])),
    )
    fleet.on_failure("web6", [], "No route to host", unreachable=True)
    fleet.on_failure("web7", [], "It broke.", unreachable=False)
    fleet.on_failure("other", [], "It broke.", unreachable=False)
    for name in ("web6", "web7"):
        fleet.hosts[name].gateway = gateway()
    made = make_report(fleet.hosts, META)
    (found,) = made["summary"]["gateways"]
    holes = {hole["why"]: (hole["names"], hole["at_most"]) for hole in found["holes"]}
    assert holes == {
        "left_out": (["web2"], 8),  # twice what it has, as the gateway remembers twice as long
        "counters": (["web3"], 61),
        "namespaces": (["web5"], None),
        "unreachable": (["web6"], None),
        "failed": (["web7"], None),
    }
    # Of web2 it is not known whether what it left out is of this destination.
    assert [one["at_most"] for one in found["destinations"]] == [69, 61]
    text = " ".join(told_of(found))
    assert "1 host that could not be reached (web6)" in text
    assert "1 host that were not read socket by socket, at most 61 ports (web3)" in text


def test_hosts_that_say_something_else_of_it() -> None:
    found = group(
        web1=usage(destination(live=100)),
        web2=usage(destination(live=100), of=gateway(ports=200)),
        web3=usage(destination(live=100)),
    )
    assert (found["differing"], found["destinations"][0]["ports"]) == (["web2"], 400)
    assert "The inventory says something else of nat-eu1 for web2" in " ".join(told_of(found))


def test_containers_count_too() -> None:
    outside = usage(destination(live=7))["outside"]
    place = {name: IDLE[name] for name in IDLE if name not in ("own_level", "namespaces", "namespaces_observed")}
    place |= {"namespace": {**IDLE["namespace"], "own": False, "name": "blue"}, "outside": outside}
    (one,) = group(web1=usage(destination(live=5), namespaces=[place], namespaces_observed=1))["destinations"]
    assert (one["held"], one["hosts"]) == (12, 1)


def made_short() -> Any:
    return report(
        web1=usage(destination(live=300, syn_resent=5)),
        web2=usage(destination(live=50)),
        web3={**NOTHING_ELSE, "gateway": gateway(), "blocked_at_most": 30},
    )


def test_the_finding_names_gateway_destination_and_who_uses_most() -> None:
    (finding,) = made_short()["summary"]["findings"]
    assert (finding["id"], finding["severity"], finding["names"]) == (
        *("nat-gateway-critical", "critical"),
        ["web1", "web2"],
    )
    (example,) = finding["examples"]
    assert example == {
        "host": "web1",
        "summary": "Added up over 2 hosts, the NAT gateway nat-eu1 holds 350 of 400 ports (87%) towards "
        "203.0.113.7:443; web1 has 85% of them. 5 connections hang there: their SYN was sent again. Not in the sum: at "
        "most 61 ports of sockets that were not read one by one.",
    }
    assert "No sysctl of the hosts helps" in finding["remedies"][0]


@pytest.mark.parametrize(
    ("live", "closed", "identifier"),
    [
        (400, [], "nat-gateway-exhausted"),
        (200, [], "nat-gateway-warning"),
        (0, [8] * 10, "nat-gateway-forecast"),
    ],
)
def test_each_level_is_a_finding(live: int, closed: list[int], identifier: str) -> None:
    (finding,) = report(web1=usage(destination(live, closed)))["summary"]["findings"]
    assert finding["id"] == identifier


def test_in_the_terminal() -> None:
    lines = [line.text for line in summary_lines(made_short(), 120)]
    at = lines.index("NAT gateways, inferred from the sockets of the hosts behind them")
    assert lines[at + 1].split() == ["gateway", "level", "towards", "held", "closed/s", "forecast", "most", "by"]
    assert lines[at + 2].split()[:4] == ["nat-eu1", "critical", "203.0.113.7:443", "87%"]
    assert lines[at + 2].endswith("web1 (85%)")
    assert any("Not in the sum of nat-eu1" in line for line in lines)


def test_on_the_page_and_as_tables(tmp_path: Path) -> None:
    written = write_report(made_short(), tmp_path)
    assert [path.name for path in written] == ["report.html", "report.json", "report.csv", "gateways.csv"]
    page = (tmp_path / "report.html").read_text()
    assert "<h2>NAT gateway nat-eu1" in page
    assert "at most 61 more" in page
    file = io.StringIO(newline="")
    write_gateways(made_short(), file)
    rows = list(csv.DictReader(file.getvalue().splitlines()))
    assert [(row["gateway"], row["host"], row["host_held"], row["held"], row["level"]) for row in rows] == [
        ("nat-eu1", "web1", "300", "350", "critical"),
        ("nat-eu1", "web2", "50", "350", "critical"),
    ]
    assert headline(made_short()["summary"]) == (
        "The NAT gateway nat-eu1 has 87% of its ports in use towards 203.0.113.7:443"
    )


@given(st.integers(-5, 10), st.lists(st.integers(-100, 100), max_size=70), st.floats(-10, 1e9))
def test_whatever_a_host_says(live: int, closed: list[int], known: float) -> None:
    found = report(web1=usage(destination(live, closed, known_seconds=known, usable=live)))
    assert found["summary"]["gateways"][0]["destinations"][0]["held"] >= 0

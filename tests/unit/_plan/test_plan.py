# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortRange,
    PortSet,
    parse_ports,
    parse_range,
    range_ports,
    union,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import PolicyError

from .hosts import NOMAD, after, claim, usage


def test_a_host_with_defaults() -> None:
    plan = make_plan(usage(), {})
    assert [(one["key"].rpartition(".")[2], one["wanted"], one["action"]) for one in plan["settings"]] == [
        ("ip_local_reserved_ports", None, "keep"),
        ("ip_local_port_range", "10240 65535", "set"),
        ("tcp_timestamps", "1", "keep"),
        ("tcp_tw_reuse", "1", "set"),
        ("tcp_tw_recycle", None, "unsupported"),
    ]
    assert plan["sustainable_rate"] == {
        "before": 470.5,
        "usable_before": 28232,
        "hold_seconds_before": 60.0,
        "after": 55296.0,
        "usable_after": 55296,
        "hold_seconds_after": 1.0,
    }


ranges = st.tuples(st.integers(1024, 65535), st.integers(1024, 65535)).map(lambda ends: PortRange(min(ends), max(ends)))

port_lists = st.lists(
    st.tuples(st.integers(1, 65535), st.integers(0, 3000)).map(lambda one: (one[0], min(65535, one[0] + one[1]))),
    max_size=3,
).map(PortSet)

lines = st.lists(
    st.builds(
        lambda key, ports, low, refused: {
            **NOMAD,
            "key": f"net.ipv4.{key}",
            "means": str(ports) if key == "ip_local_reserved_ports" else None if refused else f"{low} 65535",
            "refused": refused,
        },
        st.sampled_from(["ip_local_reserved_ports", "ip_local_port_range"]),
        port_lists,
        st.integers(1024, 60000),
        st.booleans(),
    ),
    max_size=3,
)


@given(
    ranges,
    port_lists,
    st.sets(st.integers(1, 65535), max_size=8),
    st.sets(st.integers(1, 65535), max_size=8),
    st.lists(st.builds(claim, st.sampled_from(["kubernetes", "docker", "nat"]), port_lists.map(str)), max_size=3),
    lines,
    st.fixed_dictionaries(
        {},
        optional={
            "reserve": port_lists.map(lambda ports: [str(ports)]),
            "ip_local_reserved_ports": st.one_of(st.just("leave"), port_lists.map(str)),
            "ip_local_port_range": st.sampled_from(["leave", "1024 65535", "20000 65535"]),
        },
    ),
)
def test_no_port_of_others_is_ever_in_reach(
    current: PortRange,
    reserved: PortSet,
    tcp: set[int],
    udp: set[int],
    claims: list[dict[str, str]],
    in_files: list[dict[str, Any]],
    policy: dict[str, Any],
) -> None:
    """What connect() can take after the plan is nobody's, or was in its reach before and the policy left it there."""
    host = usage(
        ip_local_port_range=str(current),
        ip_local_reserved_ports=str(reserved),
        tcp=sorted(tcp),
        udp=sorted(udp),
        claims=claims,
        lines=in_files,
        files=str(union(parse_ports(one["means"]) for one in in_files if "reserved" in one["key"])),
    )
    try:
        now = after(host, **policy)
    except PolicyError:
        return
    kept = parse_ports(now["sysctls"]["net.ipv4.ip_local_reserved_ports"] or "")
    reach = range_ports(parse_range(now["sysctls"]["net.ipv4.ip_local_port_range"])) - kept
    others = union([PortSet.of(tcp), *(parse_ports(one["ports"]) for one in claims)])
    newly = reach - (range_ports(current) - reserved)
    assert not newly & (others | PortSet.of(udp))
    assert not reach & reserved
    if policy.get("ip_local_reserved_ports") is None:
        assert not reach & others
        assert not reach & parse_ports(host["reserved_in_files"])
        assert not reach & parse_ports(",".join(policy.get("reserve", [])))


ports = st.sets(st.integers(1, 65535), max_size=8)


@given(ranges, ports, ports, st.integers(0, 1024), st.sampled_from("01"), st.sampled_from("012"))
def test_what_always_holds(
    current: PortRange, reserved: set[int], services: set[int], start: int, timestamps: str, reuse: str
) -> None:
    observed = usage(
        ip_local_port_range=str(current),
        ip_local_reserved_ports=str(PortSet.of(reserved)),
        ip_unprivileged_port_start=str(start),
        tcp_timestamps=timestamps,
        tcp_tw_reuse=reuse,
        tcp=sorted(services),
    )
    now = after(observed)
    wide = parse_range(now["sysctls"]["net.ipv4.ip_local_port_range"])
    kept = parse_ports(now["sysctls"]["net.ipv4.ip_local_reserved_ports"])
    assert wide.low <= current.low
    assert wide.high >= current.high
    assert wide.low >= min(start, current.low)
    assert wide.is_even or current.low == start
    assert reserved <= {port for port in reserved if port in kept}
    exposed = {port for port in services if wide.low <= port <= wide.high and not current.low <= port <= current.high}
    assert all(port in kept for port in exposed)
    assert now["sysctls"]["net.ipv4.tcp_tw_reuse"] == "1"
    assert now["sysctls"]["net.ipv4.tcp_timestamps"] == "1"
    rate = make_plan(observed, {})["sustainable_rate"]
    inside = [port for port in services if current.low <= port <= current.high]
    assert inside or rate["after"] >= rate["before"]

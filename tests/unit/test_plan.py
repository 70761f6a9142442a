# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortRange,
    PortSet,
    parse_ports,
    parse_range,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan import PolicyError, make_plan

DEFAULTS = {
    "ip_local_port_range": "32768 60999",
    "ip_local_reserved_ports": "",
    "ip_unprivileged_port_start": "1024",
    "tcp_tw_reuse": "2",
    "tcp_tw_reuse_delay": "1000",
    "tcp_tw_recycle": None,
    "tcp_timestamps": "1",
    "tcp_fin_timeout": "60",
    "tcp_max_tw_buckets": "131072",
}
OLD_HOST = {
    "ip_unprivileged_port_start": None,
    "tcp_tw_reuse": "0",
    "tcp_tw_reuse_delay": None,
    "tcp_tw_recycle": "0",
}


def usage(
    release: str = "6.18.44", tcp: Any = (), udp: Any = (), files: str = "", **changes: str | None
) -> dict[str, Any]:
    sysctls = {f"net.ipv4.{name}": value for name, value in {**DEFAULTS, **changes}.items()}
    return {
        "sysctls": sysctls,
        "kernel": features.describe(release, sysctls),
        "listening_ports": {"tcp": list(tcp), "udp": list(udp)},
        "reserved_in_files": files,
    }


def decide(observed: dict[str, Any], **policy: Any) -> dict[str, dict[str, Any]]:
    return {setting["key"].rpartition(".")[2]: setting for setting in make_plan(observed, policy)["settings"]}


def after(observed: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """The host as it is once the plan is carried out."""
    wanted = {one["key"]: one["wanted"] for one in make_plan(observed, policy)["dropin"]}
    return {**observed, "sysctls": {**observed["sysctls"], **wanted}}


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


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str | None, str, str]] = [
    # what, host, policy, key, wanted, action, part of the reason
    ("wider stays", {"ip_local_port_range": "1024 65535"}, {}, "ip_local_port_range", "1024 65535", "keep", "as many"),
    ("odd grows", {"ip_local_port_range": "2049 65535"}, {}, "ip_local_port_range", "2048 65535", "set", "63488 ports"),
    ("odd low edge", {"ip_local_port_range": "1025 65535", "ip_unprivileged_port_start": "1025"}, {},
     "ip_local_port_range", "1025 65535", "keep", "as many"),
    ("unprivileged start", {"ip_unprivileged_port_start": "20001"}, {},
     "ip_local_port_range", "20002 65535", "set", "below 20002"),
    ("upper end stays", {"ip_local_port_range": "50000 65535"}, {}, "ip_local_port_range", "10240 65535", "set", ""),
    ("own range", {}, {"ip_local_port_range": "20000 65535"}, "ip_local_port_range", "20000 65535", "set", "You chose"),
    ("own odd range", {}, {"ip_local_port_range": "20001 65535"}, "ip_local_port_range", "20001 65535", "set", "odd"),
    ("own range, there", {}, {"ip_local_port_range": "32768\t60999"}, "ip_local_port_range", "32768 60999", "keep", ""),
    ("narrower", {}, {"ip_local_port_range": "40000 60999"},
     "ip_local_port_range", "32768 60999", "refuse", "would narrow"),
    ("shifted", {}, {"ip_local_port_range": "40000 65535"},
     "ip_local_port_range", "32768 60999", "refuse", "would narrow"),
    ("range alone", {}, {"ip_local_port_range": "leave"}, "ip_local_port_range", None, "keep", "leave it alone"),
    ("services", {"tcp": [22, 8080, 15432, 40000], "udp": [20000]}, {},
     "ip_local_reserved_ports", "15432,20000", "set", "15432,20000 belong to services"),
    ("reserved stays", {"ip_local_reserved_ports": "9000-9010", "tcp": [15432]}, {},
     "ip_local_reserved_ports", "9000-9010,15432", "set", "15432 belong"),
    ("reserved already", {"ip_local_reserved_ports": "15432", "tcp": [15432]}, {},
     "ip_local_reserved_ports", "15432", "keep", "already"),
    ("named", {}, {"reserve": [8080, "30000-32767"]},
     "ip_local_reserved_ports", "8080,30000-32767", "set", "You named"),
    ("own list", {}, {"ip_local_reserved_ports": "8080"}, "ip_local_reserved_ports", "8080", "set", "that you chose"),
    ("own list drops", {"ip_local_reserved_ports": "7000"}, {"ip_local_reserved_ports": "8080"},
     "ip_local_reserved_ports", "7000", "refuse", "would drop 7000"),
    ("list alone", {"tcp": [15432]}, {"ip_local_reserved_ports": "leave"},
     "ip_local_reserved_ports", None, "keep", "leave it alone"),
    ("list alone, kept", {"ip_local_reserved_ports": "15432"}, {"ip_local_reserved_ports": "leave"},
     "ip_local_reserved_ports", "15432", "keep", "what is reserved stays so"),
    ("lost at run time", {"files": "15432,30000"}, {},
     "ip_local_reserved_ports", "15432,30000", "set", "Sysctl files name"),
    ("own list drops what files name", {"files": "7000"}, {"ip_local_reserved_ports": "8080"},
     "ip_local_reserved_ports", None, "refuse", "would drop 7000"),
    ("list hidden", {"ip_local_reserved_ports": None, "tcp": [80]}, {},
     "ip_local_reserved_ports", None, "unsupported", "Set it on the host"),
    ("range with a hidden list", {"ip_local_reserved_ports": None, "tcp": [15432]}, {},
     "ip_local_port_range", "32768 60999", "refuse", "cover 15432"),
    ("low range on 3.10", {**OLD_HOST, "release": "3.10.0"}, {"ip_local_port_range": "800 65535"},
     "ip_local_port_range", "800 65535", "set", "You chose"),
    ("range over services", {"tcp": [15432]}, {"ip_local_reserved_ports": "leave"},
     "ip_local_port_range", "32768 60999", "refuse", "cover 15432, where services listen"),
    ("timestamps off", {"tcp_timestamps": "0"}, {}, "tcp_timestamps", "1", "set", "switched on again"),
    ("timestamps 2", {"tcp_timestamps": "2"}, {}, "tcp_timestamps", "2", "keep", ""),
    ("timestamps alone", {"tcp_timestamps": "0"}, {"tcp_timestamps": "leave"}, "tcp_timestamps", None, "keep", ""),
    ("inert reuse", {"tcp_timestamps": "0"}, {"tcp_timestamps": "leave"},
     "tcp_tw_reuse", "2", "refuse", "does nothing while tcp_timestamps is 0"),
    ("timestamps hidden", {"tcp_timestamps": None}, {}, "tcp_timestamps", None, "unsupported", "Set it on the host"),
    ("reuse with hidden timestamps", {"tcp_timestamps": None}, {}, "tcp_tw_reuse", "1", "set", ""),
    ("reuse on", {"tcp_tw_reuse": "1"}, {}, "tcp_tw_reuse", "1", "keep", "1 s"),
    ("reuse delay", {"tcp_tw_reuse_delay": "250"}, {}, "tcp_tw_reuse", "1", "set", "0.25 s"),
    ("own reuse", {}, {"tcp_tw_reuse": 0}, "tcp_tw_reuse", "0", "set", "You chose"),
    ("own reuse 2", {}, {"tcp_tw_reuse": 2}, "tcp_tw_reuse", "2", "keep", "You chose"),
    ("reuse 2 on 4.9", {**OLD_HOST, "release": "4.9.229"}, {"tcp_tw_reuse": 2},
     "tcp_tw_reuse", "0", "refuse", "takes 2 for 1"),
    ("reuse hidden", {**OLD_HOST, "release": "4.9.229", "tcp_tw_reuse": None}, {},
     "tcp_tw_reuse", None, "unsupported", "Set it on the host"),
    ("recycle gone", {}, {}, "tcp_tw_recycle", None, "unsupported", "removed in 4.12"),
    ("recycle gone, asked", {}, {"tcp_tw_recycle": 1, "accept_risk": ["tcp_tw_recycle"]},
     "tcp_tw_recycle", None, "unsupported", "removed in 4.12"),
    ("recycle hidden, asked", {**OLD_HOST, "release": "4.9.229", "tcp_tw_recycle": None},
     {"tcp_tw_recycle": 1, "accept_risk": ["tcp_tw_recycle"]}, "tcp_tw_recycle", None, "unsupported", "Not visible"),
    ("recycle off", {**OLD_HOST, "release": "3.10.0-1160.el7"}, {}, "tcp_tw_recycle", None, "keep", "off"),
    ("recycle on", {**OLD_HOST, "release": "3.10.0-1160.el7", "tcp_tw_recycle": "1"}, {},
     "tcp_tw_recycle", None, "keep", "choose 0"),
    ("recycle off again", {**OLD_HOST, "release": "3.10.0-1160.el7", "tcp_tw_recycle": "7"}, {"tcp_tw_recycle": "0"},
     "tcp_tw_recycle", "0", "set", "You chose"),
    ("recycle unaccepted", {**OLD_HOST, "release": "3.10.0-1160.el7"}, {"tcp_tw_recycle": 1},
     "tcp_tw_recycle", None, "refuse", "name tcp_tw_recycle in accept_risk"),
    ("recycle accepted", {**OLD_HOST, "release": "3.10.0-1160.el7"},
     {"tcp_tw_recycle": 1, "accept_risk": "tcp_tw_recycle"}, "tcp_tw_recycle", "1", "set", "You chose"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "policy", "key", "wanted", "action", "reason"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_decision(
    host: dict[str, Any], policy: dict[str, Any], key: str, wanted: str | None, action: str, reason: str
) -> None:
    setting = decide(usage(**host), **policy)[key]
    assert (setting["wanted"], setting["action"]) == (wanted, action)
    assert reason in setting["reason"]
    assert setting["reason"].endswith(".")


@pytest.mark.parametrize(("host", "policy"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES])
def test_second_run_sets_nothing(host: dict[str, Any], policy: dict[str, Any]) -> None:
    first = usage(**host)
    second = make_plan(after(first, **policy), policy)
    assert [one["key"] for one in second["settings"] if one["action"] == "set"] == []
    drop_in = [(one["key"], one["wanted"], one["purpose"]) for one in second["dropin"]]
    assert drop_in == [(one["key"], one["wanted"], one["purpose"]) for one in make_plan(first, policy)["dropin"]]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"ip_local_port_range": "60999 32768"}, "ip_local_port_range: '60999 32768' is not a port range: the low end"),
        ({"ip_local_port_range": "1024"}, "ip_local_port_range: '1024' is not a port range: give two numbers"),
        ({"ip_local_port_range": "80 65535"}, "ip_local_port_range: 80 65535 begins below"),
        ({"ip_local_port_range": True}, "ip_local_port_range: the boolean true is not a value here"),
        ({"ip_local_port_range": [1, 2]}, "ip_local_port_range: [1, 2] is not a number or a string"),
        ({"ip_local_reserved_ports": "8080,http"}, "ip_local_reserved_ports: 'http' is not a port"),
        ({"tcp_tw_reuse": True}, "tcp_tw_reuse: the boolean true is not a value here; give a number"),
        ({"tcp_tw_reuse": 3}, "tcp_tw_reuse: '3' is not one of auto, leave, 0, 1, 2"),
        ({"tcp_timestamps": False}, "tcp_timestamps: the boolean false"),
        ({"tcp_tw_recycle": "auto"}, "tcp_tw_recycle: 'auto' is not one of leave, 0, 1"),
        ({"reserve": [True]}, "reserve: the boolean true"),
        ({"reserve": ["9010-9000"]}, "reserve: '9010-9000' is not a range of ports: 9010 is above 9000"),
        ({"accept_risk": ["everything"]}, "accept_risk: everything names no risk; known is tcp_tw_recycle"),
        ({"accept_risk": True}, "accept_risk: the boolean true"),
        ({"reserve": [80], "ip_local_reserved_ports": "leave"}, "reserve names ports, but ip_local_reserved_ports is"),
        ({"tw_reuse": 1}, "tw_reuse is not a part of the policy; known are ip_local_port_range"),
    ],
)
def test_wrong_policy_is_named(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as error:
        make_plan(usage(), policy)
    assert message in str(error.value)


@pytest.mark.parametrize("wrong", [{}, {"sysctls": {}}, {"sysctls": None}, {**usage(), "listening_ports": None}])
def test_input_must_be_a_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a result of netops"):
        make_plan(wrong, {})


ranges = st.tuples(st.integers(1024, 65535), st.integers(1024, 65535)).map(lambda ends: PortRange(min(ends), max(ends)))
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
    assert make_plan(observed, {})["sustainable_rate"]["after"] >= make_plan(observed, {})["sustainable_rate"]["before"]

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
    range_ports,
    union,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan import (
    DROPIN,
    PolicyError,
    asked_ports,
    make_plan,
    refused_wishes,
    wanted_state,
)

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
    release: str = "6.18.44",
    tcp: Any = (),
    udp: Any = (),
    files: str = "",
    lines: Any = (),
    claims: Any = (),
    udp_clients: Any = (),
    own: Any = None,
    asked: str = "",
    **changes: str | None,
) -> dict[str, Any]:
    sysctls = {f"net.ipv4.{name}": value for name, value in {**DEFAULTS, **changes}.items()}
    return {
        "sysctls": sysctls,
        "kernel": features.describe(release, sysctls),
        "listening_ports": {"tcp": list(tcp), "udp": list(udp), "udp_clients": list(udp_clients)},
        "reserved_in_files": files,
        "port_lines": list(lines),
        "claims": list(claims),
        "journal": own and journal(own, asked),
    }


def journal(own: dict[str, tuple[str, str]], asked: str) -> dict[str, Any]:
    """own: names of keys, each with the value before and the one that was applied."""
    keys = {f"net.ipv4.{name}": {"before": before, "applied": applied} for name, (before, applied) in own.items()}
    return {"path": "/etc/sysctl.d/99-zz-ephemeral-ports.conf", "keys": keys, "asked": asked}


def decide(observed: dict[str, Any], **policy: Any) -> dict[str, dict[str, Any]]:
    return {setting["key"].rpartition(".")[2]: setting for setting in make_plan(observed, policy)["settings"]}


def after(observed: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """The host as it is once the plan is carried out."""
    plan, own, sysctls = make_plan(observed, policy), (observed["journal"] or {}).get("keys", {}), observed["sysctls"]
    before = {key: one["before"] if one["applied"] == sysctls[key] else sysctls[key] for key, one in own.items()}
    wanted = {one["key"]: one["wanted"] for one in plan["dropin"]}
    released = {one["key"]: before[one["key"]] for one in plan["settings"] if one["action"] == "release"}
    left = {key: {"before": before.get(key, sysctls[key]), "applied": value} for key, value in wanted.items()}
    journal = observed["journal"] and {**observed["journal"], "keys": left}
    return {**observed, "sysctls": {**sysctls, **released, **wanted}, "journal": journal}


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


def claim(by: str, ports: str, where: str = "") -> dict[str, str]:
    return {"by": by, "ports": ports, "where": where}


NODE_PORTS = [claim("kubernetes", "30000-32767")]
REFUSED = {
    "key": "net.ipv4.ip_local_reserved_ports",
    "file": "/etc/sysctl.d/50-site.conf",
    "line": 3,
    "value": "30000-32767 # node ports",
    "means": "30000-32767",
    "refused": True,
}
NOMAD = {
    "key": "net.ipv4.ip_local_port_range",
    "file": "/etc/sysctl.d/10-nomad.conf",
    "line": 1,
    "value": "49152 65535",
    "means": "49152 65535",
    "refused": False,
}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str | None, str, str]] = [
    # what, host, policy, key, wanted, action, part of the reason
    ("wider stays", {"ip_local_port_range": "1024 65535"}, {}, "ip_local_port_range", "1024 65535", "keep", "as wide"),
    ("odd grows", {"ip_local_port_range": "2049 65535"}, {},
     "ip_local_port_range", "2048 65535", "set", "63488 usable ports"),
    ("odd low edge", {"ip_local_port_range": "1025 65535", "ip_unprivileged_port_start": "1025"}, {},
     "ip_local_port_range", "1025 65535", "keep", "as wide"),
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
     "ip_local_reserved_ports", "15432,20000,40000", "set", "15432,20000,40000 belong to services"),
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
     "ip_local_port_range", "32768 60999", "refuse", "15432 belong to services"),
    ("low range on 3.10", {**OLD_HOST, "release": "3.10.0"}, {"ip_local_port_range": "800 65535"},
     "ip_local_port_range", "800 65535", "set", "You chose"),
    ("range over services", {"tcp": [15432]}, {"ip_local_reserved_ports": "leave"},
     "ip_local_port_range", "32768 60999", "refuse", "does not reserve: 15432 belong to services"),
    ("node ports", {"claims": NODE_PORTS}, {}, "ip_local_reserved_ports", "30000-32767", "set",
     "30000-32767 are node ports of Kubernetes (the default)"),
    ("node ports as configured", {"claims": [claim("kubernetes", "20000-20100", "/etc/rancher/k3s/config.yaml")]}, {},
     "ip_local_reserved_ports", "20000-20100", "set", "node ports of Kubernetes (/etc/rancher/k3s/config.yaml)"),
    ("node ports, a service among them", {"claims": NODE_PORTS, "tcp": [10250, 30080]}, {},
     "ip_local_reserved_ports", "10250,30000-32767", "set", "10250,30080 belong to services that listen; 30000-30079,"),
    ("node ports, not wanted", {"claims": NODE_PORTS}, {"do_not_reserve": "30000-32767"},
     "ip_local_reserved_ports", None, "keep", "No port needs it."),
    ("node ports with a list of one's own", {"claims": NODE_PORTS}, {"ip_local_reserved_ports": "8080"},
     "ip_local_port_range", "32768 60999", "refuse", "not reserve: 30000-32767 are node ports"),
    ("published", {"claims": [claim("docker", "35300", "/var/lib/docker"), claim("nat", "25300")]}, {},
     "ip_local_reserved_ports", "25300,35300", "set",
     "35300 are published by Docker (/var/lib/docker); 25300 are led elsewhere by DNAT rules"),
    ("below the range", {"claims": [claim("cni", "8080")], "tcp": [443]}, {},
     "ip_local_reserved_ports", None, "keep", "No port needs it."),
    ("a line that the kernel refuses", {"files": "30000-32767", "lines": [REFUSED]}, {},
     "ip_local_reserved_ports", "30000-32767", "set",
     "Sysctl files name 30000-32767; the kernel refuses the line /etc/sysctl.d/50-site.conf:3, which means 30000-3"),
    ("udp clients", {"udp_clients": range(20000, 40000, 1000)}, {},
     "ip_local_reserved_ports", None, "keep", "20 UDP ports without pattern were taken for a client's; name them"),
    ("a udp socket in the range", {"udp": [40000]}, {}, "ip_local_reserved_ports", None, "keep", "No port needs it."),
    ("a range of a file", {"ip_local_port_range": "49152 65535", "lines": [NOMAD]}, {},
     "ip_local_port_range", None, "keep",
     "10-nomad.conf:1 chose 49152 65535, so auto does not widen it; to overrule, choose ip_local_port_range: 10240 6"),
    ("a range of a file, not loaded", {"lines": [NOMAD]}, {}, "ip_local_port_range", None, "keep", "10-nomad.conf:1"),
    ("a range of a file, overruled", {"ip_local_port_range": "49152 65535", "lines": [NOMAD]},
     {"ip_local_port_range": "10240 65535"}, "ip_local_port_range", "10240 65535", "set", "of 16384. You chose"),
    ("a range of our own file", {"ip_local_port_range": "20000 65535", "lines": [{**NOMAD, "file": DROPIN}]}, {},
     "ip_local_port_range", "10240 65535", "set", "55296 usable ports per destination instead of 45536."),
    ("the kernel's range in a file", {"lines": [{**NOMAD, "means": "32768 60999"}]}, {},
     "ip_local_port_range", "10240 65535", "set", ""),
    ("a range that the kernel refuses", {"lines": [{**NOMAD, "means": None, "refused": True}]}, {},
     "ip_local_port_range", "10240 65535", "set", ""),
    ("usable ports", {"claims": NODE_PORTS}, {"reserve": ["10249-10251"]},
     "ip_local_port_range", "10240 65535", "set", "52525 usable ports per destination instead of 28232."),
    ("every port", {"ip_local_port_range": "1 65535", "ip_unprivileged_port_start": "0"}, {},
     "ip_local_port_range", None, "keep", "as wide"),
    ("nearly every port", {"ip_local_port_range": "2 65535", "ip_unprivileged_port_start": "0"}, {},
     "ip_local_port_range", None, "keep", "as wide"),
    ("fewer ports, accepted", {}, {"reserve": "10240-40000", "accept_risk": ["fewer_ports"]},
     "ip_local_reserved_ports", "10240-40000", "set", "You named"),
    ("node ports named for a range of ours",
     {"ip_local_port_range": "10240 65535", "own": {"ip_local_port_range": ("32768 60999", "10240 65535")}},
     {"reserve": "30000-32767"},
     "ip_local_reserved_ports", "30000-32767", "set", "You named 30000-32767"),
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


RANGE_OF_OURS = {"ip_local_port_range": "10240 65535", "own": {"ip_local_port_range": ("32768 60999", "10240 65535")}}
PORTS_OF_OURS = {
    "ip_local_reserved_ports": "7000,8080,9000-9010",
    "own": {"ip_local_reserved_ports": ("7000", "7000,8080,9000-9010")},
    "asked": "9000-9010",
}
CASES += [
    ("ours, narrower", RANGE_OF_OURS, {"ip_local_port_range": "20000 60999"},
     "ip_local_port_range", "20000 60999", "set", "You chose"),
    ("ours, narrower than before us", RANGE_OF_OURS, {"ip_local_port_range": "40000 65535"},
     "ip_local_port_range", "10240 65535", "refuse", "before the first apply; choose one that contains 32768"),
    ("ours, left", RANGE_OF_OURS, {"ip_local_port_range": "leave"},
     "ip_local_port_range", None, "release", "It goes back to 32768 60999, as it was before"),
    ("ours, widened by hand since", {**RANGE_OF_OURS, "ip_local_port_range": "5000 65535"},
     {"ip_local_port_range": "20000 65535"}, "ip_local_port_range", "5000 65535", "refuse", "contains 5000 65535"),
    ("ours, widened by hand since, left", {**RANGE_OF_OURS, "ip_local_port_range": "5000 65535"},
     {"ip_local_port_range": "leave"}, "ip_local_port_range", None, "keep", "leave it alone"),
    ("ours, wider than auto", {"ip_local_port_range": "2048 65535",
     "own": {"ip_local_port_range": ("32768 60999", "2048 65535")}}, {},
     "ip_local_port_range", "10240 65535", "set", "below 10240"),
    ("our ports, one not named any more", PORTS_OF_OURS, {"reserve": ["9000-9005"]},
     "ip_local_reserved_ports", "7000,8080,9000-9005", "set", "Nobody asks for 9006-9010 any more"),
    ("our ports, not named, a service listens", {**PORTS_OF_OURS, "tcp": [9001], "ip_local_port_range": "8000 65535"},
     {},
     "ip_local_reserved_ports", "7000,8080,9001", "set", "Nobody asks for 9000,9002-9010 any more"),
    ("our ports, not named, a file reserves them", {**PORTS_OF_OURS, "files": "9000-9010"}, {},
     "ip_local_reserved_ports", "7000,8080,9000-9010", "keep", "already"),
    ("our ports, a shorter list", PORTS_OF_OURS, {"ip_local_reserved_ports": "7000,9000"},
     "ip_local_reserved_ports", "7000,9000", "set", "that you chose"),
    ("our ports, a list without theirs", PORTS_OF_OURS, {"ip_local_reserved_ports": "9000"},
     "ip_local_reserved_ports", "7000,8080,9000-9010", "refuse", "would drop 7000, which others"),
    ("our ports, left", PORTS_OF_OURS, {"ip_local_reserved_ports": "leave"},
     "ip_local_reserved_ports", "7000", "set", "what others have reserved stays so"),
    ("our ports alone, left", {"ip_local_reserved_ports": "8080", "own": {"ip_local_reserved_ports": ("", "8080")}},
     {"ip_local_reserved_ports": "leave"}, "ip_local_reserved_ports", None, "release", "goes back to empty"),
    ("all of our ports not named", {"ip_local_reserved_ports": "8080", "asked": "8080",
     "own": {"ip_local_reserved_ports": ("", "8080")}}, {},
     "ip_local_reserved_ports", None, "release", "Nobody asks for 8080 any more"),
    ("our reuse, left", {"tcp_tw_reuse": "1", "own": {"tcp_tw_reuse": ("2", "1")}}, {"tcp_tw_reuse": "leave"},
     "tcp_tw_reuse", None, "release", "It goes back to 2"),
    ("our timestamps, left", {"tcp_timestamps": "1", "own": {"tcp_timestamps": ("0", "1")}},
     {"tcp_timestamps": "leave"}, "tcp_tw_reuse", "2", "refuse", "does nothing while tcp_timestamps is 0"),
    ("our timestamps, auto again", {"tcp_timestamps": "2", "own": {"tcp_timestamps": ("1", "2")}}, {},
     "tcp_timestamps", "1", "set", "they are on"),
    ("our recycle, left", {**OLD_HOST, "release": "3.10.0-1160.el7", "own": {"tcp_tw_recycle": ("1", "0")}}, {},
     "tcp_tw_recycle", None, "release", "goes back to 1"),
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
    text = ("key", "wanted", "purpose", "parts")
    assert [[one[name] for name in text] for one in second["dropin"]] == [
        [one[name] for name in text] for one in make_plan(first, policy)["dropin"]
    ]


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
        ({"accept_risk": ["everything"]}, "accept_risk: everything names no risk; known are fewer"),
        ({"accept_risk": True}, "accept_risk: the boolean true"),
        ({"reserve": [80], "ip_local_reserved_ports": "leave"}, "reserve names ports, but ip_local_reserved_ports is"),
        ({"tw_reuse": 1}, "tw_reuse is not a part of the policy; known are ip_local_port_range"),
        (
            {"reserve": ["10240-65535"]},
            "reserve: 10240-65535 leaves no usable port of 10240 65535, and there are 28232 today; name fewer",
        ),
        (
            {"reserve": ["10240-65535"], "accept_risk": ["fewer_ports"]},
            "reserve: 10240-65535 leaves no usable port of 10240 65535, and there are 28232 today; name fewer",
        ),
        (
            {"reserve": ["10240-40000"]},
            "reserve: 10240-40000 leaves 25535 usable ports of 10240 65535, and there are 28232 today; name fewer, or",
        ),
        (
            {"ip_local_reserved_ports": "32768-65535", "ip_local_port_range": "leave"},
            "ip_local_reserved_ports: 32768-65535 leaves no usable port of 32768 60999",
        ),
    ],
)
def test_wrong_policy_is_named(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as error:
        make_plan(usage(), policy)
    assert message in str(error.value)


def test_what_was_found_leaves_no_port() -> None:
    """Nobody has named these ports: whose they are is said, and what to do."""
    forwards_all = usage(claims=[claim("nat", "1024-65535")])
    with pytest.raises(PolicyError, match="10240-65535 are led elsewhere by DNAT rules; name in do_not_reserve those"):
        make_plan(forwards_all, {})
    assert make_plan(forwards_all, {"do_not_reserve": ["1024-65535"]})["sustainable_rate"]["usable_after"] == 55296


@pytest.mark.parametrize("wrong", [{}, {"sysctls": {}}, {"sysctls": None}, {**usage(), "listening_ports": None}])
def test_input_must_be_a_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a result of netops"):
        make_plan(wrong, {})


def test_parts_of_the_list() -> None:
    """The same whether or not a service listens when the plan is made anew."""
    files = {"files": "30000-32767,40000", "lines": [REFUSED, {**REFUSED, "file": DROPIN, "means": "40000"}]}
    host = usage(tcp=[15432], claims=[*NODE_PORTS, claim("docker", "20300", "/var/lib/docker")], **files)
    policy = {"reserve": ["9000"]}
    expected = [
        "9000: named in the inventory",
        "30000-32767: node ports of Kubernetes (the default)",
        "15432,20300,40000: services that listened or were published, or reserved before",
    ]
    assert decide(host, **policy)["ip_local_reserved_ports"]["parts"] == expected
    later = after({**host, "listening_ports": {"tcp": [], "udp": [], "udp_clients": []}}, **policy)
    assert decide(later, **policy)["ip_local_reserved_ports"]["parts"] != expected  # 15432 was not reserved
    later = {**after(host, **policy), "listening_ports": {"tcp": [], "udp": [], "udp_clients": []}}
    assert decide(later, **policy)["ip_local_reserved_ports"]["parts"] == expected
    files["lines"] = [REFUSED]
    (part,) = decide(usage(**files | {"files": "30000-32767"}))["ip_local_reserved_ports"]["parts"]
    assert part == "30000-32767: /etc/sysctl.d/50-site.conf:3 reserves them"


def test_a_host_cannot_break_a_line_of_the_drop_in() -> None:
    host = usage(claims=[claim("kubernetes", "20000-20100", "/etc/x\nnet.ipv4.tcp_tw_recycle = 1")])
    (part,) = decide(host)["ip_local_reserved_ports"]["parts"]
    assert "\n" not in part


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


@pytest.mark.parametrize(
    ("host", "policy", "refused"),
    [
        ({}, {"ip_local_port_range": "40000 65535"}, ["ip_local_port_range: 40000 65535 would narrow"]),
        ({"ip_local_reserved_ports": "7000"}, {"ip_local_reserved_ports": "80"}, ["ip_local_reserved_ports: Your"]),
        ({"tcp_timestamps": "0"}, {"tcp_tw_reuse": 1, "tcp_timestamps": "leave"}, ["tcp_tw_reuse: It does nothing"]),
        ({"tcp_timestamps": "0"}, {"tcp_timestamps": "leave"}, []),
        ({"tcp": [15432]}, {"ip_local_reserved_ports": "leave"}, []),
        ({**OLD_HOST, "release": "3.10.0"}, {"tcp_tw_recycle": 1}, ["tcp_tw_recycle: It drops connections"]),
        ({}, {"reserve": [8080]}, []),
    ],
)  # fmt: skip
def test_what_the_user_chose_and_the_plan_refuses(
    host: dict[str, Any], policy: dict[str, Any], refused: list[str]
) -> None:
    """What auto would have liked is no wish."""
    found = refused_wishes(make_plan(usage(**host), policy), policy)
    assert [one.startswith(words) for one, words in zip(found, refused, strict=True)] == [True] * len(refused)


def test_ports_that_the_user_names_are_those_of_both_options() -> None:
    assert asked_ports({"reserve": [8080], "ip_local_reserved_ports": "9000-9001"}) == "8080,9000-9001"
    assert asked_ports({}) == ""


LEFT_ALONE = dict.fromkeys(
    ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_timestamps"), "leave"
)


@pytest.mark.parametrize(
    ("host", "policy", "trial", "state"),
    [
        ({}, {}, False, "present"),
        ({}, LEFT_ALONE, False, None),
        ({}, LEFT_ALONE, True, None),
        (RANGE_OF_OURS, LEFT_ALONE, False, "absent"),
        (RANGE_OF_OURS, LEFT_ALONE, True, "present"),
    ],
)
def test_what_becomes_of_the_dropin(
    host: dict[str, Any], policy: dict[str, Any], trial: bool, state: str | None
) -> None:
    observed: Any = usage(**host)
    assert wanted_state(make_plan(observed, policy), observed, trial) == state

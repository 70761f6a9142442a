# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import DROPIN
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import PolicyError

from .hosts import (
    NODE_PORTS,
    NOMAD,
    PORTS_OF_OURS,
    REFUSED,
    Case,
    after,
    check_decision,
    check_second_run,
    claim,
    decide,
    usage,
)

CASES: list[Case] = [
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
    ("node ports", {"claims": NODE_PORTS}, {}, "ip_local_reserved_ports", "30000-32767", "set",
     "30000-32767 are node ports of Kubernetes (the default)"),
    ("node ports as configured", {"claims": [claim("kubernetes", "20000-20100", "/etc/rancher/k3s/config.yaml")]}, {},
     "ip_local_reserved_ports", "20000-20100", "set", "node ports of Kubernetes (/etc/rancher/k3s/config.yaml)"),
    ("node ports, a service among them", {"claims": NODE_PORTS, "tcp": [10250, 30080]}, {},
     "ip_local_reserved_ports", "10250,30000-32767", "set", "10250,30080 belong to services that listen; 30000-30079,"),
    ("node ports, not wanted", {"claims": NODE_PORTS}, {"do_not_reserve": "30000-32767"},
     "ip_local_reserved_ports", None, "keep", "No port needs it."),
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
    ("fewer ports, accepted", {}, {"reserve": "10240-40000", "accept_risk": ["fewer_ports"]},
     "ip_local_reserved_ports", "10240-40000", "set", "You named"),
    ("node ports named for a range of ours",
     {"ip_local_port_range": "10240 65535", "own": {"ip_local_port_range": ("32768 60999", "10240 65535")}},
     {"reserve": "30000-32767"},
     "ip_local_reserved_ports", "30000-32767", "set", "You named 30000-32767"),
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
    ("in a range that a file chose since ours", {"tcp": [49500], "lines": [NOMAD],
     "own": {"ip_local_port_range": ("32768 47000", "32768 47000")}, "ip_local_port_range": "32768 47000"}, {},
     "ip_local_reserved_ports", "49500", "set", "49500 belong to services"),
    ("named by a second drop-in of ours", {"ip_local_port_range": "10240 65535",
     "others_of_ours": [{"ip_local_port_range": ("32768 60999", "10240 65535")}]}, {"reserve": [40000]},
     "ip_local_reserved_ports", "40000", "set", "You named 40000"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_decision(case: Case) -> None:
    check_decision(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_second_run_sets_nothing(case: Case) -> None:
    check_second_run(case)


def test_what_was_found_leaves_no_port() -> None:
    """Nobody has named these ports: whose they are is said, and what to do."""
    forwards_all = usage(claims=[claim("nat", "1024-65535")])
    with pytest.raises(PolicyError, match="10240-65535 are led elsewhere by DNAT rules; name in do_not_reserve those"):
        make_plan(forwards_all, {})
    assert make_plan(forwards_all, {"do_not_reserve": ["1024-65535"]})["sustainable_rate"]["usable_after"] == 55296


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

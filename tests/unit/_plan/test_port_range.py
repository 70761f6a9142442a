# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import DROPIN

from .hosts import NODE_PORTS, NOMAD, OLD_HOST, RANGE_OF_OURS, Case, check_decision, check_second_run

CASES: list[Case] = [
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
    ("range with a hidden list", {"ip_local_reserved_ports": None, "tcp": [15432]}, {},
     "ip_local_port_range", "32768 60999", "refuse", "15432 belong to services"),
    ("low range on 3.10", {**OLD_HOST, "release": "3.10.0"}, {"ip_local_port_range": "800 65535"},
     "ip_local_port_range", "800 65535", "set", "You chose"),
    ("range over services", {"tcp": [15432]}, {"ip_local_reserved_ports": "leave"},
     "ip_local_port_range", "32768 60999", "refuse", "does not reserve: 15432 belong to services"),
    ("node ports with a list of one's own", {"claims": NODE_PORTS}, {"ip_local_reserved_ports": "8080"},
     "ip_local_port_range", "32768 60999", "refuse", "not reserve: 30000-32767 are node ports"),
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
    ("range over what files reserve", {"files": "20000", "tcp": [32000]}, {"ip_local_reserved_ports": "leave"},
     "ip_local_port_range", "32768 60999", "refuse",
     "does not reserve: 32000 belong to services that listen; sysctl files name 20000."),
    ("ours, over a service, the list left alone",
     {**RANGE_OF_OURS, "tcp": [15432], "ip_local_reserved_ports": "15432",
      "own": {**RANGE_OF_OURS["own"], "ip_local_reserved_ports": ("", "15432")}},
     {"ip_local_reserved_ports": "leave"}, "ip_local_port_range", "32768 60999", "refuse",
     "15432 belong to services that listen. It goes back to 32768 60999"),
    ("usable ports", {"claims": NODE_PORTS}, {"reserve": ["10249-10251"]},
     "ip_local_port_range", "10240 65535", "set", "52525 usable ports per destination instead of 28232."),
    ("every port", {"ip_local_port_range": "1 65535", "ip_unprivileged_port_start": "0"}, {},
     "ip_local_port_range", None, "keep", "as wide"),
    ("nearly every port", {"ip_local_port_range": "2 65535", "ip_unprivileged_port_start": "0"}, {},
     "ip_local_port_range", None, "keep", "as wide"),
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
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_decision(case: Case) -> None:
    check_decision(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_second_run_sets_nothing(case: Case) -> None:
    check_second_run(case)

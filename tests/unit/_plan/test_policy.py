# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import PolicyError, asked_ports

from .hosts import usage


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"ip_local_port_range": "60999 32768"}, "ip_local_port_range: '60999 32768' is not a port range: the low end"),
        ({"ip_local_port_range": "1024"}, "ip_local_port_range: '1024' is not a port range: give two numbers"),
        ({"ip_local_port_range": "80 65535"}, "ip_local_port_range: 80 65535 begins below"),
        ({"ip_local_port_range": True}, "ip_local_port_range: the boolean true is not a value here"),
        ({"ip_local_port_range": [1, 2]}, "ip_local_port_range: [1, 2] is not a number or a string"),
        ({"ip_local_reserved_ports": "0"}, "ip_local_reserved_ports: port 0 is outside 1 to 65535"),
        ({"reserve": [0, 8080]}, "reserve: port 0 is outside 1 to 65535"),
        ({"do_not_reserve": ["0-1023"]}, "do_not_reserve: port 0 is outside 1 to 65535"),
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


def test_ports_that_the_user_names_are_those_of_both_options() -> None:
    assert asked_ports({"reserve": [8080], "ip_local_reserved_ports": "9000-9001"}) == "8080,9000-9001"
    assert asked_ports({}) == ""

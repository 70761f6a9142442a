# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.outcome import refused_wishes, wanted_state
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan

from .hosts import OLD_HOST, RANGE_OF_OURS, usage


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

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: with the kernel's defaults and 500 ports, ports run out."""

from __future__ import annotations

from typing import Any


def test_the_host_has_the_defaults_and_few_ports(values: dict[str, str]) -> None:
    assert values["ip_local_port_range"] == "32768 33267"
    assert values["ip_local_reserved_ports"] == ""
    assert values["tcp_tw_reuse"] == "2"
    assert values["tcp_timestamps"] == "1"


def test_connections_fail_for_lack_of_ports_and_for_nothing_else(stress: dict[str, Any]) -> None:
    assert stress["attempted"] == 1200
    assert stress["succeeded"] == 500
    assert stress["port_exhaustion"] == 1200 - stress["succeeded"]
    assert [(error["curl_code"], error["errno"]) for error in stress["errors"]] == [(7, 99)]


def test_the_ports_are_in_time_wait(stress: dict[str, Any]) -> None:
    assert stress["time_wait"]["delta"] >= 490

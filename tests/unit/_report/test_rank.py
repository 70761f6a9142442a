# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worst first."""

from __future__ import annotations

from simulated_fleet import META, RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.rank import worst_first

from .hearing import EXHAUSTED, IDLE, LOOK, fleet_of


def test_worst_first() -> None:
    fleet = fleet_of(
        ("idle", LOOK, IDLE),
        ("warned", LOOK, RECORDED["usage"]["warning"]),
        ("full", LOOK, EXHAUSTED),
        ("half", LOOK, RECORDED["usage"]["critical"]),
    )
    fleet.on_failure("gone", [], "Timed out.", unreachable=True)
    fleet.on_failure("failed", [], "Refused.", unreachable=False)
    names = [host["name"] for host in worst_first(make_report(fleet.hosts, META)["hosts"])]
    assert names == ["full", "failed", "half", "gone", "warned", "idle"]

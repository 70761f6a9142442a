# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a restart: the values are there again, from the file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_nothing_survived_the_restart(values: dict[str, str]) -> None:
    assert values["tcp_fin_timeout"] == "60"


def test_systemd_set_the_values_at_boot(host: Host, values: dict[str, str]) -> None:
    assert host.service("systemd-sysctl").is_running
    low, high = map(int, values["ip_local_port_range"].split())
    assert high - low + 1 >= 50_000
    assert values["tcp_tw_reuse"] == "1"

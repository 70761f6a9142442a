# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same program does the same, and finds ports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

RUN = os.environ["MOLECULE_RUN"]
SHOP = f"{os.environ['CONTAINER_ENGINE']} shop-{RUN}"


def test_every_container_is_well(containers: dict[str, dict[str, Any]]) -> None:
    levels = {name: one["level"] for name, one in containers.items()}
    assert levels == {f"db-{RUN}": "ok", f"shop-{RUN}": "ok", f"web-{RUN}": "ok"}


def test_connects_go_on_and_none_fails(machine: dict[str, Any]) -> None:
    (user,) = [one for one in machine["users"]["users"] if one["owner"] == SHOP]
    assert user["connects"] > 0
    assert user["no_port"] == 0


def test_it_lasts(host: Host) -> None:
    assert host.file("/proc/sys/net/ipv4/ip_local_port_range").content_string.split() == ["10240", "65535"]
    assert host.file("/proc/sys/net/ipv4/tcp_tw_reuse").content_string == "1\n"

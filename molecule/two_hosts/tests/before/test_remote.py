# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: the destination is another host, so tcp_tw_reuse=2 does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from testinfra.host import Host


def test_the_server_is_another_host(host: Host, stress: dict[str, Any]) -> None:
    server = urlsplit(stress["url"]).hostname
    assert server
    assert server not in host.check_output("hostname -I").split()
    assert " dev eth0 " in host.check_output(f"ip route get {server}") + " "


def test_no_port_was_taken_over(stress: dict[str, Any]) -> None:
    assert stress["tw_recycled"]["delta"] == 0

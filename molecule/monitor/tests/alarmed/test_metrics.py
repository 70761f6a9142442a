# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a load that has used up all ports."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

FILE = "/var/lib/prometheus/node-exporter/ephemeral_ports.prom"
EXHAUSTED = 'ephemeral_ports_level{namespace="own",inventory_hostname="host"} 3'
PATIENCE = 30  # of the 60 seconds for which they stay used up


def test_the_metrics_say_so_while_it_lasts(host: Host, stress: dict[str, Any]) -> None:
    assert stress["port_exhaustion"]
    end = time.monotonic() + PATIENCE
    while EXHAUSTED not in host.file(FILE).content_string:
        assert time.monotonic() < end, host.file(FILE).content_string
        time.sleep(0.5)
    text = host.file(FILE).content_string
    assert 'finding="destination-exhausted"' in text
    assert f'destination="{stress["url"].split("/")[2]}"' in text


def test_the_command_says_so_too(host: Host) -> None:
    done = host.run("ephemeral-ports")
    assert done.rc == 2
    assert done.stdout.startswith("EXHAUSTED: no local port is left")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a load that has used up all ports, and while a program does so."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

FILE = "/var/lib/prometheus/node-exporter/ephemeral_ports.prom"
EXHAUSTED = 'ephemeral_ports_level{namespace="own",inventory_hostname="host"} 3'
DESTINATION = "198.18.0.1:8641"
PATIENCE = 300

# Connections that live: those that a load has closed block their ports for a minute, which a busy machine may need to
# begin these tests. The unit has started once all ports are taken.
HOLD = """
import os, signal, socket
there = ("198.18.0.1", 8641)
server = socket.create_server(there, backlog=1024)
held = []
while True:
    client = socket.socket()
    try:
        client.connect(there)
    except OSError:
        break
    held += [client, server.accept()[0]]
if os.fork():
    os._exit(0)
signal.pause()
"""


@pytest.fixture(scope="module")
def taken(host: Host) -> Iterator[None]:
    """All ports towards DESTINATION."""
    unit = ["systemd-run", "--unit=all-ports", "--property=Type=forking", "--property=LimitNOFILE=4096"]
    started = host.run(shlex.join([*unit, "/usr/bin/python3", "-c", HOLD]))
    assert started.rc == 0, started.stderr
    yield
    host.run("systemctl stop all-ports")


def test_the_load_has_used_up_all_ports(stress: dict[str, Any]) -> None:
    assert stress["port_exhaustion"]


@pytest.mark.usefixtures("taken")
def test_the_metrics_say_so_while_it_lasts(host: Host) -> None:
    end = time.monotonic() + PATIENCE
    while EXHAUSTED not in (text := host.file(FILE).content_string) or DESTINATION not in text:
        assert time.monotonic() < end, text
        time.sleep(0.5)
    assert 'finding="destination-exhausted"' in text
    assert f'destination="{DESTINATION}"' in text


@pytest.mark.usefixtures("taken")
def test_the_command_says_so_too(host: Host) -> None:
    done = host.run("ephemeral-ports")
    assert done.rc == 2
    assert done.stdout.startswith("EXHAUSTED: no local port is left")

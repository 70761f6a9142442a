# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""While nothing is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host

FILE = "/var/lib/prometheus/node-exporter/ephemeral_ports.prom"
PATIENCE = 300


def read(host: Host) -> str:
    return host.file(FILE).content_string if host.file(FILE).exists else ""


def test_the_timer_writes_metrics_as_the_user_of_the_directory(host: Host) -> None:
    end = time.monotonic() + PATIENCE
    while "ephemeral_ports_run_success" not in read(host):
        assert time.monotonic() < end, host.run("journalctl --unit=ephemeral-ports --no-pager").stdout
        time.sleep(1)
    text = read(host)
    assert 'ephemeral_ports_level{namespace="own",inventory_hostname="host"} 0' in text
    assert 'ephemeral_ports_run_success{inventory_hostname="host"} 1' in text
    assert host.file(FILE).user == "games"
    assert host.file(FILE).mode == 0o644


def test_it_goes_on_writing(host: Host) -> None:
    def stamp() -> str:
        return next(line for line in read(host).splitlines() if line.startswith("ephemeral_ports_run_timestamp"))

    end, first = time.monotonic() + PATIENCE, stamp()
    while stamp() == first:
        assert time.monotonic() < end, host.run("systemctl status ephemeral-ports.timer ephemeral-ports").stdout
        time.sleep(1)


def test_systemd_has_no_complaint_of_the_units(host: Host) -> None:
    done = host.run(
        "systemd-analyze verify /etc/systemd/system/ephemeral-ports.service /etc/systemd/system/ephemeral-ports.timer"
    )
    assert [line for line in done.stderr.splitlines() if "ephemeral-ports" in line] == []
    assert host.service("ephemeral-ports.timer").is_enabled


def test_the_command_says_the_verdict(host: Host) -> None:
    done = host.run("ephemeral-ports")
    assert done.rc == 0
    assert done.stdout.startswith("OK: ")

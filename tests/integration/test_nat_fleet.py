# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet behind a NAT gateway that nobody can read, against what the kernel of that gateway really holds."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._gateway import behind_nat, read_gateway
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Gateway
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.gateways import add_up

from .inside import private
from .nat_fleet import CLIENTS, PORTS, NatFleet, nat_fleet
from .network import observed

ROOT = Path(__file__).resolve().parents[2]
LOOK = "netops.ephemeral_ports.port_usage_info"
NAT = {"gateway": "nat-eu1", "ports": PORTS}
# Of the ports, to be held when the hosts are observed; and connections per second.
OBSERVED_AT, RATE = 0.28, 8


def gateway() -> Gateway:
    found = read_gateway(NAT, "web1")
    assert found
    return found


def usages(fleet: NatFleet) -> dict[str, dict[str, Any]]:
    """As the playbook diagnose observes hosts of which the inventory names the gateway."""
    found = {}
    for name in CLIENTS:
        with fleet.inside(name):
            usage = observed(detail="auto", behind_nat=behind_nat(gateway()))
        found[name] = {**usage, "gateway": gateway()}
    return found


def holes_of(group: Any) -> dict[str, list[str]]:
    """But for what else runs on this machine."""
    return {hole["why"]: hole["names"] for hole in group["holes"] if hole["why"] != "namespaces"}


def added_up(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The one destination of the one gateway."""
    heard = Fleet()
    heard.on_play()
    heard.on_task(LOOK)
    for name, usage in found.items():
        heard.on_result(name, LOOK, usage)
    (group,) = add_up(heard.hosts.values())
    (destination,) = group["destinations"]
    assert (group["hosts"], holes_of(group)) == (len(found), {})
    return dict(destination)


def off(told: float, real: float) -> float:
    return abs(told - real) / real


@private
def test_saturation_and_forecast_are_those_of_the_router() -> None:
    """Five fleets at once: where the search of one router for a port ends is a matter of chance.

    The load is judged by what came of it: a busy machine makes fewer connections per second than were wanted.
    """
    with contextlib.ExitStack() as stack:
        fleets = [Filling(stack.enter_context(nat_fleet())) for _number in range(5)]
        for turn in itertools.count():
            begun = time.monotonic()
            going = [one for one in fleets if not one.is_full]
            if not going:
                break
            for one in going:
                one.open(CLIENTS[turn % len(CLIENTS)])
            time.sleep(max(0.0, begun + 1 / RATE - time.monotonic()))
        errors = [error for one in fleets if (error := one.error()) is not None]
        if len(errors) < 3:
            pytest.skip("this machine is too busy to open connections at a steady rate")
        assert sorted(errors)[len(errors) // 2] < 0.1, errors
        assert max(errors) < 0.25, errors


class Filling:
    """A fleet that opens one connection after the other until the router drops a SYN; observed on the way."""

    def __init__(self, fleet: NatFleet) -> None:
        self.fleet, self.is_full = fleet, False
        self.closed: list[float] = []
        self.found: dict[str, Any] = {}
        self.held = 0
        self.observed_at = 0.0

    def open(self, name: str) -> None:
        self.is_full = not self.fleet.close_by_client(name)
        self.closed += [] if self.is_full else [time.monotonic()]
        if not self.found and len(self.closed) >= PORTS * OBSERVED_AT:
            self.held = self.fleet.held()
            self.found = added_up(usages(self.fleet))
            self.observed_at = time.monotonic()

    def error(self) -> float | None:
        """By how much the forecast was off, as a share of the time that it took; None without a steady rate."""
        one, before = self.found, [when for when in self.closed if when < self.observed_at]
        assert off(one["held"], self.held) < 0.1, (one, self.held)
        assert off(one["saturation"], self.held / PORTS) < 0.1
        assert sorted(share["host"] for share in one["shares"]) == sorted(CLIENTS)
        assert all(off(share["share"], 0.25) < 0.1 for share in one["shares"])
        recent = [when for when in before if when > self.observed_at - 10]
        rate = len(recent) / (self.observed_at - recent[0])
        later = [when for when in recent if when > self.observed_at - 5]
        seconds = one["forecast"]["seconds_to_exhausted"]
        if off(2 * len(later), len(recent)) > 0.1 or rate < RATE / 2:
            return None
        assert seconds is not None, one
        return off(seconds, (len(self.closed) - len(before)) / rate)


@private
def test_live_connections_count_and_what_is_inside_does_not() -> None:
    with nat_fleet() as fleet:
        for number, name in enumerate(CLIENTS, 1):
            assert fleet.keep(name, 10 * number) == 10 * number
        found = usages(fleet)
        one = added_up(found)
        assert (one["held"], one["live"], fleet.held()) == (100, 100, 100)
        assert [(share["host"], share["held"]) for share in one["shares"]] == [
            (name, 10 * number) for number, name in reversed(list(enumerate(CLIENTS, 1)))
        ]
        # What a host has on its own side of the gateway.
        with fleet.inside("web1"):
            inside = observed(behind_nat={**behind_nat(gateway()), "inside": ["192.0.2.0/24"]})
        assert inside["outside"]["destinations"] == []
        assert inside["pools"][0]["live"] == 10


@private
def test_why_a_client_behind_a_full_gateway_hangs() -> None:
    """Through ansible-playbook, with the variable in the inventory."""
    with nat_fleet() as fleet, tempfile.TemporaryDirectory() as home:
        full = 0
        for name in itertools.cycle(CLIENTS):  # the search for a port may fail before none is left
            full += fleet.keep(name, 1)
            if fleet.held() >= PORTS or fleet.dropped() > 20:
                break
        fleet.hang("web2", 4)
        held = fleet.held()
        hosts: dict[str, dict[str, Any]] = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(fleet.interpreter(Path(home), name, sys.executable)),
            }
            for name in CLIENTS
        }
        hosts["gone"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        hosts["wrong"] = {"ansible_connection": "local", "ephemeral_ports_nat": {"gateway": "nat-eu1", "ports": 0}}
        inventory = Path(home) / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": {"ephemeral_ports_nat": NAT}}}))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", f"--inventory={inventory}"),
                *("netops.ephemeral_ports.diagnose", "-e", f"ephemeral_ports_report={home}/report"),
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
                "ANSIBLE_HOME": f"{home}/ansible",
                "ANSIBLE_REMOTE_TEMP": f"{home}/remote",
                "ANSIBLE_NOCOLOR": "1",
                "HOME": home,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 4, done.stdout + done.stderr
        report = json.loads((Path(home) / "report/report.json").read_text())

        told = {host["name"]: host for host in report["hosts"]}
        (finding,) = (one for one in told["web2"]["usage"]["findings"] if one["id"] == "syn-resent")
        assert finding["summary"].startswith("4 connections to 192.0.2.10:443 hang: they have sent their SYN again")
        assert "No local port is missing" in finding["summary"]
        assert "the NAT gateway nat-eu1" in finding["remedy"]
        assert "4 connections to 192.0.2.10:443 hang" in " ".join(done.stdout.split())
        assert told["web2"]["level"] == "ok"
        wrong = "ephemeral_ports_nat of wrong is {'gateway': 'nat-eu1', 'ports': 0}: ports has to be a whole number"
        assert told["wrong"]["error"].startswith(wrong)

        (group,) = report["summary"]["gateways"]
        (one,) = group["destinations"]
        assert off(one["held"] - 4, held) < 0.1  # those that hang hold nothing
        assert (one["syn_resent"], one["saturation"] > 0.9, one["level"] in ("exhausted", "critical")) == (
            4,
            True,
            True,
        )
        assert holes_of(group) == {"unreachable": ["gone"]}
        (of_fleet,) = (one for one in report["summary"]["findings"] if one["id"].startswith("nat-gateway-"))
        (text,) = (example["summary"] for example in of_fleet["examples"])
        said = ("nat-eu1", "192.0.2.10:443", "4 connections hang there", "1 host that could not be reached (gone)")
        assert [one for one in said if one not in text] == []
        assert set(of_fleet["names"]) == set(CLIENTS)
        rows = list(csv.DictReader((Path(home) / "report/gateways.csv").read_text().splitlines()))
        assert {row["host"] for row in rows} == set(CLIENTS)
        assert "NAT gateway nat-eu1" in (Path(home) / "report/report.html").read_text()
        assert "NAT gateways, inferred from the sockets of the hosts behind them" in done.stdout
        assert full <= PORTS

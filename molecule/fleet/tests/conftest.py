# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks said about the fleet."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

BROKEN = "fleet07"
FEW_PORTS = ("fleet01", "fleet02", "fleet05")


class Play(NamedTuple):
    """How a run of a playbook ended. recap: {"fleet01": {"ok": 4, "changed": 1, ...}, ...}. outcomes: of a rollout."""

    rc: int
    output: str
    recap: dict[str, dict[str, int]]
    outcomes: dict[str, Any]

    def hosts_with(self, what: str) -> list[str]:
        return [host for host, counts in self.recap.items() if counts[what]]

    def hosts_that_are(self, state: str) -> list[str]:
        return [host for host, outcome in sorted(self.outcomes.items()) if outcome["state"] == state]

    def status(self, host: str, check: str) -> str:
        """How a check of the gate ended on a host."""
        (found,) = [one["status"] for one in self.outcomes[host]["gate"]["checks"] if one["id"] == check]
        return found


@pytest.fixture(scope="session")
def play() -> Callable[[str], Play]:
    """The run whose result was kept under this name."""

    def load(name: str) -> Play:
        directory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
        kept = json.loads((directory / f"{name}.json").read_text())
        recap = kept["output"].partition("PLAY RECAP")[2]
        lines = re.findall(r"^(\w+) +: (.+)$", recap, re.MULTILINE)
        counts = {host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", line)} for host, line in lines}
        hosts = json.loads((directory / name / "report.json").read_text())["hosts"]
        outcomes = {host["name"]: host["outcome"] for host in hosts if host["outcome"]}
        return Play(kept["rc"], kept["output"], counts, outcomes)

    return load


@pytest.fixture
def name(host: Host) -> str:
    """The name of the host in the inventory."""
    return host.backend.name.partition("-")[0]


@pytest.fixture
def fixed(name: str) -> tuple[str, str]:
    """tcp_tw_reuse and ip_local_port_range as they should be after the fix."""
    if name == BROKEN:
        return "2", "32768 60999"
    return "1", "32768 33267" if name in FEW_PORTS else "10240 65535"


@pytest.fixture
def present(values: dict[str, str]) -> tuple[str, str]:
    """The same as they are."""
    return values["tcp_tw_reuse"], values["ip_local_port_range"]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks said about the fleet."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


class Play(NamedTuple):
    """How a run of a playbook ended. recap: {"fleet01": {"ok": 4, "changed": 1, ...}, ...}"""

    rc: int
    output: str
    recap: dict[str, dict[str, int]]

    def hosts_with(self, what: str) -> list[str]:
        return [host for host, counts in self.recap.items() if counts[what]]


@pytest.fixture(scope="session")
def play() -> Callable[[str], Play]:
    """The run whose result was kept under this name."""

    def load(name: str) -> Play:
        kept = json.loads(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], f"{name}.json").read_text())
        recap = kept["output"].partition("PLAY RECAP")[2]
        lines = re.findall(r"^(\w+) +: (.+)$", recap, re.MULTILINE)
        counts = {host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", line)} for host, line in lines}
        return Play(kept["rc"], kept["output"], counts)

    return load


@pytest.fixture
def is_broken(host: Host) -> bool:
    return host.backend.name.startswith("fleet07-")

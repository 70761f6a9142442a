# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all scenarios ask an instance for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


@pytest.fixture(scope="module")
def stress(host: Host) -> dict[str, Any]:
    """The result of the latest curl_stress in the instance."""
    return json.loads(host.file("/root/stress.json").content_string)


@pytest.fixture(scope="module")
def witnesses(host: Host) -> list[list[str]]:
    """In one command, as each takes an engine a second."""
    both = host.check_output("/root/witness && echo '--- before' && cat /root/witness.before")
    return [one.splitlines() for one in both.split("\n--- before\n")]


@pytest.fixture(scope="module")
def witness(witnesses: list[list[str]]) -> list[str]:
    """Everything that the roles could change, as it is now."""
    return witnesses[0]


@pytest.fixture(scope="module")
def witness_before(witnesses: list[list[str]]) -> list[str]:
    """The same, as it was before anything was done."""
    return witnesses[1]


@pytest.fixture(scope="module")
def values(witness: list[str]) -> dict[str, str]:
    """The sysctl values of the running kernel by their last name, with single spaces."""
    prefix = "/proc/sys/net/ipv4/"
    pairs = (line.removeprefix(prefix).split(":", 1) for line in witness if line.startswith(prefix))
    return {key: " ".join(value.split()) for key, value in pairs}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report of a run says of the machine, and of the containers in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ENGINE, RUN = os.environ["CONTAINER_ENGINE"], os.environ["MOLECULE_RUN"]


def name_of(container: str) -> str:
    return f"{container}-{RUN}"


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    report = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "report", request.path.parent.name, "report.json")
    (host,) = json.loads(report.read_text())["hosts"]
    return host


@pytest.fixture
def containers(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By what the host calls them."""
    return {one["namespace"]["owner"]["name"]: one for one in machine["usage"]["namespaces"]}


@pytest.fixture
def shop(containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return containers[name_of("shop")]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By default: the conflict and the stale line are named, and nothing is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


@pytest.fixture
def refused(host: Host) -> dict[str, Any]:
    return json.loads(host.file("/root/refused.json").content_string)


def test_the_run_fails_and_names_key_values_and_line(refused: dict[str, Any]) -> None:
    for name in ("net.ipv4.ip_local_port_range", "10240 65535", "32768 33267", "/etc/sysctl.d/zzz-tuning.conf"):
        assert name in refused["why_not"]


def test_the_diagnosis_names_the_stale_line(refused: dict[str, Any]) -> None:
    (stale,) = (finding for finding in refused["findings"] if finding["id"] == "recycle-line-stale")
    assert "/etc/sysctl.conf" in json.dumps(stale)


def test_nothing_was_changed(witness: list[str], witness_before: list[str]) -> None:
    assert witness == witness_before

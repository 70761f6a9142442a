# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""With the other file and the stale line removed: the role passes with its defaults, and the fix survives a reboot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


@pytest.fixture
def removed(host: Host) -> dict[str, Any]:
    return json.loads(host.file("/root/removed.json").content_string)


def test_every_value_is_running_and_survives_a_reboot(removed: dict[str, Any]) -> None:
    assert removed["applied"]["settings"]
    for setting in removed["applied"]["settings"]:
        assert setting["after"].split() == setting["boot_value"].split() == setting["wanted"].split()
        assert setting["boot_file"] == "/etc/sysctl.d/99-zz-ephemeral-ports.conf"


def test_no_line_is_stale(removed: dict[str, Any]) -> None:
    assert "recycle-line-stale" not in [finding["id"] for finding in removed["usage"]["findings"]]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode: it says what it would do, and does nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_check_mode_changed_nothing(witness: list[str], witness_before: list[str]) -> None:
    assert witness == witness_before


def test_check_mode_predicted_the_fix(host: Host) -> None:
    prediction = json.loads(host.file("/root/prediction.json").content_string)
    assert prediction["changed"]
    wanted = {setting["key"]: setting["wanted"] for setting in prediction["settings"]}
    assert wanted["net.ipv4.tcp_tw_reuse"] == "1"
    assert wanted["net.ipv4.ip_local_port_range"] != "32768 33267"

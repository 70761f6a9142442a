# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: not one error, neither for clients nor in nginx's log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host


def test_not_one_client_sees_an_error(stress: dict[str, Any]) -> None:
    assert stress["attempted"] == stress["succeeded"] == 1200
    assert stress["errors"] == []


def test_nginx_logs_nothing(host: Host) -> None:
    assert host.file("/var/log/nginx/error.log").content_string == ""


def test_the_diagnosis_finds_the_host_well(host: Host) -> None:
    diagnosis = json.loads(host.file("/root/diagnosis.json").content_string)
    assert diagnosis["level"] == "ok"

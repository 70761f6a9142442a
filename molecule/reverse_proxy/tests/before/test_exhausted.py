# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: clients see 5xx, nginx logs errno 99, and the diagnosis names the upstream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

CURLE_HTTP_RETURNED_ERROR = 22


def test_clients_see_errors_of_the_proxy(stress: dict[str, Any]) -> None:
    assert stress["attempted"] == 1200
    assert stress["succeeded"] == 500
    # The clients themselves have ports enough.
    assert [error["curl_code"] for error in stress["errors"]] == [CURLE_HTTP_RETURNED_ERROR]


def test_nginx_logs_every_one_of_them_as_errno_99(host: Host, stress: dict[str, Any]) -> None:
    log = host.file("/var/log/nginx/error.log").content_string.splitlines()
    assert len(log) == stress["failures"]
    assert all("connect() to " in line and "(99: Cannot assign requested address)" in line for line in log)


def test_the_diagnosis_names_the_upstream(host: Host) -> None:
    diagnosis = json.loads(host.file("/root/diagnosis.json").content_string)
    upstream = json.loads(host.file("/root/addresses.json").content_string)["upstream"]
    worst = diagnosis["pools"][0]
    assert diagnosis["level"] == "exhausted"
    assert (worst["address"], worst["port"], worst["level"]) == (upstream, 8080, "exhausted")
    assert worst["time_wait"] >= 490
    assert "destination-exhausted" in [finding["id"] for finding in diagnosis["findings"]]

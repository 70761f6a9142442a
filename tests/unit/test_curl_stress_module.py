# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it: what it refuses, before anything is sent."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress import load as stress_load
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress import run as stress_run
from ansible_collections.netops.ephemeral_ports.plugins.modules import curl_stress

BOUNDED = {"total": 1, "time_limit": 5}
TARGET = {"serve": "127.0.0.1", **BOUNDED}


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]
) -> dict[str, Any]:
    """The result of the module; arguments are handed over as the controller does it."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    if hasattr(basic, "_ANSIBLE_PROFILE"):  # ansible-core 2.19 and newer
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    with pytest.raises(SystemExit):
        curl_stress.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture
def no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_load(_options: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(stress_run, "run_load", run_load)


@pytest.mark.usefixtures("no_load")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (BOUNDED, "one of the following is required: url, serve"),
        ({**TARGET, "url": "http://192.0.2.1/"}, "mutually exclusive: url|serve"),
        ({"serve": "127.0.0.1", "total": 1}, "missing required arguments: time_limit"),
        ({"serve": "127.0.0.1", "time_limit": 1}, "missing required arguments: total"),
        ({**BOUNDED, "url": "http:///"}, "url 'http:///' has no host"),
        ({**BOUNDED, "url": "ftp://192.0.2.1/"}, "url 'ftp://192.0.2.1/' must begin with http"),
        ({**TARGET, "total": True}, "total must be a number, not the boolean true"),
        ({**TARGET, "time_limit": True}, "time_limit must be a number, not the boolean true"),
        ({**TARGET, "rate": False}, "rate must be a number, not the boolean false"),
        ({**TARGET, "max_failed": False}, "max_failed must be a number, not the boolean false"),
        ({**TARGET, "total": 0}, "total must be from 1 to 1000000, not 0"),
        ({**TARGET, "total": 1000001}, "total must be from 1 to 1000000, not 1000001"),
        ({**TARGET, "time_limit": -1}, "time_limit must be from 0.001 to 86400, not -1.0"),
        ({**TARGET, "time_limit": "nan"}, "time_limit must be from 0.001 to 86400, not nan"),
        ({**TARGET, "concurrency": 1001}, "concurrency must be from 1 to 1000, not 1001"),
        ({**TARGET, "serve_port": 65536}, "serve_port must be from 0 to 65535, not 65536"),
        ({**TARGET, "total": "many"}, "'total'"),
    ],
)
def test_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str
) -> None:
    result = call(monkeypatch, capsys, arguments)
    assert result["failed"] is True
    assert message in result["msg"]


@pytest.mark.usefixtures("no_load")
def test_pycurl_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stress_load, "IMPORT_ERROR", "No module named 'pycurl'")
    message = call(monkeypatch, capsys, TARGET)["msg"]
    assert f"{sys.executable}: No module named 'pycurl'" in message
    assert "python3-pycurl" in message
    assert "ansible_python_interpreter" in message
    assert "pip install" not in message  # which distributions refuse for their own Python


@pytest.mark.usefixtures("no_load")
def test_check_mode_is_skipped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, capsys, {**TARGET, "_ansible_check_mode": True})["skipped"] is True


@pytest.mark.parametrize(
    ("max_failed", "fails"), [(None, False), (3, False), (2, True)], ids=["only reported", "at the limit", "above it"]
)
def test_max_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], max_failed: int | None, fails: bool
) -> None:
    error = {"count": 3, "curl_code": 7, "curl_name": "N", "errno": 99, "errno_name": "E", "meaning": "means"}
    load = {"url": "http://x/", "attempted": 4, "failures": 3, "errors": [error], "stopped_by": "total"}
    monkeypatch.setattr(stress_load, "IMPORT_ERROR", None)  # where pycurl is not installed, too
    monkeypatch.setattr(stress_run, "run_load", lambda _options: load)
    result = call(monkeypatch, capsys, {**TARGET, "max_failed": max_failed})
    assert result["changed"] is False
    assert result["attempted"] == 4
    assert ("msg" in result) is fails
    if fails:
        assert "3 of 4 connections to http://x/ failed, more than max_failed=2: 3 x curl error 7" in result["msg"]

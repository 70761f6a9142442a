# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _template

REUSE, RANGE, RECYCLE = "net.ipv4.tcp_tw_reuse", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_recycle"
PLAN: Any = {
    "settings": [
        {"key": RANGE, "wanted": "10240 65535"},
        {"key": REUSE, "wanted": "1"},
        {"key": RECYCLE, "wanted": None},
    ]
}
TEXT = f"# ours\n{RANGE} = 10240 65535\n{REUSE} = 1\n"


@pytest.mark.parametrize("text", [TEXT, f"{TEXT}net.core.somaxconn = 4096\n", f"{REUSE}=1\n{RANGE}=10240\t65535\n"])
def test_a_text_may_say_more_than_was_planned(text: str) -> None:
    _template.check_text(text, PLAN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{RANGE} = 10240 65535\n", f"leaves out {REUSE}, which the plan sets to 1"),
        (TEXT.replace("= 1\n", "= 2\n"), f"sets {REUSE} to 2; the plan says 1"),
        (f"{TEXT}{RECYCLE} = 1\n", f"sets {RECYCLE} to 1, which the plan does not set"),
        (f"{TEXT}{REUSE} = 0\n", f"sets {REUSE} to 0; the plan says 1"),
        ([1, 2], r"gives \[1, 2\], which is not a text"),
        ("what?", "content line 1: 'what\\?' is not of the form \"key = value\""),
    ],
)
def test_a_text_that_decides_otherwise_is_refused(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _template.check_text(text, PLAN)


def test_a_file_of_the_user_may_be_a_template(tmp_path: Path) -> None:
    template = tmp_path / "ours.j2"
    template.write_text(TEXT)
    _template.check_source(template, [tmp_path / "report"])


def forbidden(tmp_path: Path) -> dict[str, Path]:
    report = tmp_path / "report"
    report.mkdir()
    for name in ("report.json", "other.j2"):
        (report / name).write_text("{{ 6 * 7 }}")
    (tmp_path / "report.json").write_text("{{ 6 * 7 }}")
    (tmp_path / "link.j2").symlink_to(report / "other.j2")
    (tmp_path / "environment.j2").symlink_to("/proc/self/environ")
    (tmp_path / "cwd.j2").symlink_to(f"/proc/self/cwd/{os.path.relpath(report / 'other.j2')}")
    os.mkfifo(tmp_path / "pipe.j2")
    (tmp_path / "large.j2").write_text("#" * (_template.LARGEST + 1))
    return {"report": report}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("report/report.json", "where there is what hosts said"),
        ("report/other.j2", "where there is what hosts said"),
        ("report.json", "where there is what hosts said"),
        ("link.j2", "where there is what hosts said"),
        ("cwd.j2", "where there is what hosts said"),
        ("environment.j2", "which belongs to the kernel"),
        ("pipe.j2", "which is no regular file"),
        ("large.j2", "more than 1048576"),
    ],
)
def test_what_hosts_may_have_written_is_never_a_template(tmp_path: Path, name: str, why: str) -> None:
    places = forbidden(tmp_path)
    with pytest.raises(ValueError, match=why):
        _template.check_source(tmp_path / name, places.values())


def test_reports_logs_and_caches_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOG_PATH", str(tmp_path / "log"))
    monkeypatch.setattr(constants, "CACHE_PLUGIN_CONNECTION", str(tmp_path / "facts"))
    monkeypatch.setenv("EPHEMERAL_PORTS_REPORT", str(tmp_path / "nightly"))
    places = _template.said_by_hosts({"ephemeral_ports_report": str(tmp_path / "report")})
    assert {tmp_path / name for name in ("log", "facts", "nightly", "report")} <= set(places)

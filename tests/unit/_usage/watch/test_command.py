# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command with what it observes planted; tests/integration/test_watch.py runs it as its user does."""

from __future__ import annotations

import copy
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import Error
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import command

RECORDED = json.loads((Path(__file__).parents[3] / "simulation/recorded_results.json").read_text())["usage"]


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command will observe."""
    usage: dict[str, Any] = copy.deepcopy(RECORDED["critical"])
    monkeypatch.setattr(command, "observe", lambda _options: usage)
    return usage


def refuse(_options: object) -> None:
    raise Error("the kernel says no")


@pytest.mark.parametrize(
    ("level", "status"), [("ok", 0), ("warning", 1), ("critical", 2), ("exhausted", 2), ("unknown", 3)]
)
def test_the_exit_status_is_that_of_a_monitoring_plugin(observed: dict[str, Any], level: str, status: int) -> None:
    observed["level"] = level
    assert command.main("1.0.0", []) == status


def test_words_begin_with_the_verdict(observed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    observed["pools"][0]["address"] = "2001:db8::\x1b[2J"
    command.main("1.0.0", [])
    said = capsys.readouterr().out
    assert said.startswith("CRITICAL: ")
    assert "\x1b" not in said


def test_json_is_the_usage(observed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main("1.0.0", ["--json"]) == 2
    assert json.loads(capsys.readouterr().out) == observed


@pytest.mark.usefixtures("observed")
def test_metrics_replace_the_file_and_what_a_killed_run_left(tmp_path: Path) -> None:
    file, beside, precious = tmp_path / "a.prom", tmp_path / ".a.prom.new", tmp_path / "precious"
    precious.write_text("mine")
    beside.symlink_to(precious)
    file.write_text("half")
    assert command.main("1.0.0", ["--metrics", str(file), "--label", "inventory_hostname=web1"]) == 0
    assert 'ephemeral_ports_level{namespace="own",inventory_hostname="web1"} 2' in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert precious.read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.prom", "precious"]


def test_a_run_that_failed_says_so_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "observe", refuse)
    file = tmp_path / "a.prom"
    file.write_text("ephemeral_ports_level 0")
    assert command.main("1.0.0", ["--metrics", str(file)]) == 3
    assert capsys.readouterr().err == "ephemeral-ports: the kernel says no\n"
    assert "ephemeral_ports_run_success 0\n" in file.read_text()
    assert "ephemeral_ports_level" not in file.read_text()


def test_where_the_file_cannot_be_written_the_path_is_named(
    observed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert observed
    assert command.main("1.0.0", ["--metrics", str(tmp_path / "absent" / "a.prom")]) == 3
    assert f"{tmp_path}/absent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--label", "a"], "'a' is not NAME=VALUE"),
        (["--label", "1a=b"], "'1a=b' is not NAME=VALUE"),
        (["--label", "namespace=x"], "namespace is a label that the metrics have already"),
        (["--json", "--metrics"], "not allowed with argument"),
        (["--watch", "often"], "invalid float value: 'often'"),
    ],
)
def test_wrong_arguments_are_named_and_are_no_level(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main("1.0.0", arguments)
    assert ended.value.code == 3
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--top", "0"], "max_pools must be between 1 and 1000, not 0"),
        (["--warning", "0.9"], "must rise and be between 0 and 1"),
        (["--watch", "0.1"], "--watch 0.1 is too often: give 0.5 s or more"),
        (["--watch"], "--watch draws on a terminal, and standard output is none"),
    ],
)
def test_wrong_values_are_named(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main("1.0.0", arguments) == 3
    assert reason in capsys.readouterr().err

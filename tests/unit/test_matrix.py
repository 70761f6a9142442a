# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version matrix says what ran, what failed, and what was not run and why."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path
from xml.etree import ElementTree

import environments
import matrix
import pytest
from matrix import FAILED, NOT_RUN, PASSED, Core, Row

GOOD = '<testcase name="test_a[3.9]" time="1.5"/>'
BAD = '<testcase name="test_b[3.9]" time="0.5"><failure message="no"/></testcase>'
LEFT_OUT = '<testcase name="test_c[3.6]" time="0"><skipped message="no Python 3.6"/></testcase>'


def cases(*texts: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "code", "outcome", "what"),
    [
        ([GOOD, GOOD], 0, PASSED, "2 passed"),
        ([GOOD, LEFT_OUT], 0, PASSED, "1 passed, 1 skipped; skipped: no Python 3.6"),
        ([GOOD, BAD], 1, FAILED, "1 failed, 1 passed"),
        ([GOOD], 2, FAILED, "1 passed"),
        ([LEFT_OUT, LEFT_OUT], 0, NOT_RUN, "no Python 3.6"),
        ([], 0, FAILED, "exit code 0"),
    ],
)
def test_summary(texts: list[str], code: int, outcome: str, what: str) -> None:
    row = matrix.summarise("units", cases(*texts), code)
    assert (row.outcome, row.what) == (outcome, what)


@pytest.mark.parametrize(("outcome", "code"), [(PASSED, 0), (NOT_RUN, 0), (FAILED, 1)])
def test_only_a_failure_fails(
    outcome: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row("units", PASSED, "9 passed", 1), Row("sanity", outcome, "because", 1)]
    monkeypatch.setattr(matrix, "examine", lambda core, _stages: [(core, row) for row in rows])
    assert matrix.main(["2.16"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["sanity", "1", "s", *f"{outcome}: because".split()] for line in lines)


def test_a_missing_interpreter_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matrix.CORES, "9.9", Core(("9.9", "9.8"), "test.txt"))
    ((_used, row),) = matrix.examine("9.9", ["units"])
    assert row == Row("all stages", NOT_RUN, "needs Python 9.9 or 9.8, which is neither on PATH nor in pyenv")


def test_an_interpreter_that_does_not_start_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python9.9"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert environments.find_python(["9.9"]) is None
    shim.write_text("#!/bin/sh\n")
    assert environments.find_python(["9.9"]) == shim


def test_an_environment_is_made_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "3.9"

    def run(_command: object) -> None:
        with (tmp_path / "3.9.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory.mkdir()

    monkeypatch.setattr(environments, "run", run)
    for _twice in range(2):
        assert environments.make_environment(directory, Path(sys.executable)) == directory / "bin" / "python"


def test_requirements_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one==1\n-r b.txt\ntwo==2\n")
    (tmp_path / "b.txt").write_text("three==3\n")
    assert environments.read_requirements(tmp_path / "a.txt").split() == ["one==1", "three==3", "two==2"]

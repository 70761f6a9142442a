# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SECURITY.md promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
HOSTILE = "tests/integration/hostile/test_hostile.py"
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", PAGE)))


def names_of_tests(path: str) -> list[str]:
    tree = ast.parse((ROOT / path).read_text())
    return [one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")]


@pytest.mark.parametrize(("path", "test"), NAMED, ids=["::".join(filter(None, one)) for one in NAMED])
def test_what_it_names_exists(path: str, test: str) -> None:
    assert not test or test in names_of_tests(path)


def test_every_line_of_what_cannot_be_done_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| it cannot |")]
    silent = [row for row in rows if "`tests/" not in row and "shown by" not in row]
    assert silent == ["| can see the drop-in and the sysctls: they are no secret | |"]


@pytest.mark.parametrize("who", ["A managed host", "local user", "container", "inventory", "monitoring"])
def test_it_says_of_each_who_could_be_hostile_what_he_can_do(who: str) -> None:
    (section,) = re.findall(rf"^### [^\n]*{who}[^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert "`tests/" in section


def test_it_names_every_test_with_hostile_hosts() -> None:
    assert {test for path, test in NAMED if path == HOSTILE} == {*names_of_tests(HOSTILE)}


def test_what_an_event_can_do_is_said_of_the_one_rulebook() -> None:
    """Who builds another has to say in SECURITY.md what an event of somebody hostile can do."""
    (rulebook,) = ROOT.glob("extensions/eda/rulebooks/*")
    text = rulebook.read_text()
    assert "### An event of the monitoring" in PAGE
    assert text.count("run_playbook:") == 1
    assert text.count("{{ event.") == 1
    assert "insert_hosts_to_meta" not in text

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md is true: what it names exists, and no room is left out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints, is_typeddict

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _model

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", PAGE)
FUNCTIONS = sorted({span for span in CODE if re.fullmatch(r"\S+\.py: \w+", span)})
PLACE = re.compile(r"(plugins|docs|tests|molecule|roles|scripts|playbooks)/\S*")
PATHS = sorted({span for span in CODE if PLACE.fullmatch(span)})
STEPS = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| .*", PAGE, re.MULTILINE)]
STEPS = [row for row in STEPS if len(row) == 7 and row[0] != "step"]


@cache
def names_in(path: Path) -> set[str]:
    """Functions, classes and constants at the top of a file."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("span", FUNCTIONS)
def test_functions_exist(span: str) -> None:
    path, name = span.split(": ")
    assert name in names_in(ROOT / "plugins" / path)


@pytest.mark.parametrize("path", PATHS)
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists()


def rooms() -> set[str]:
    found = set()
    for parent in ("module_utils", "plugin_utils"):
        for path in (ROOT / "plugins" / parent).iterdir():
            if path.name not in ("__pycache__", "__init__.py"):
                found.add(path.name)
    return found


def test_every_room_is_in_the_table() -> None:
    table = PAGE.partition("## The rooms")[2].partition("\n## ")[0]
    named = {name for span in re.findall(r"`([^`]+)`", table) for name in [span.rstrip("/").rpartition("/")[2]]}
    assert sorted(rooms() - named) == []


def test_the_host_side_has_few_rooms() -> None:
    listed = [path for path in (ROOT / "plugins/module_utils").iterdir() if path.name != "__pycache__"]
    assert len(listed) <= 9


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row[0])
def test_steps_name_what_exists(row: list[str]) -> None:
    _step, playbook, role, module, _function, result, fields = row
    assert playbook == "all" or (ROOT / f"playbooks/{playbook}.yml").exists()
    assert role in ("all", "") or (ROOT / f"roles/{role}").is_dir()
    assert module in ("all actions", "") or (ROOT / f"plugins/modules/{module}.py").exists()
    if result != "as asked for":
        assert hasattr(_model, result)
    in_report = get_type_hints(_model.HostReport)
    named = [name for name in re.findall(r"\w+", fields) if fields != "all of it"]
    assert [name for name in named if name not in in_report] == []
    types = [one for name in named for one in _structures(in_report[name])]
    assert not named or any(set(get_type_hints(getattr(_model, result))) <= set(get_type_hints(one)) for one in types)


def _structures(hint: object) -> list[type]:
    """The TypedDicts within a type."""
    inner = [structure for one in get_args(hint) for structure in _structures(one)]
    return [*inner, hint] if isinstance(hint, type) and is_typeddict(hint) else inner


def test_every_step_of_the_table_is_tested() -> None:
    assert [row[0] for row in STEPS] == [
        "observe", "who", "check", "decide", "apply", "prove", "judge", "roll back", "report",
    ]  # fmt: skip

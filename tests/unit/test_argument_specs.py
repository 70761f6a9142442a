# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs, defaults and READMEs of the roles say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in ROOT.glob("roles/timewait_*") if path.is_dir())


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) or {}


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]


def options(role: Path) -> dict[str, dict[str, Any]]:
    """The options of all entry points; those with the same name must be the same."""
    merged: dict[str, dict[str, Any]] = {}
    for spec in entry_points(role).values():
        for name, option in spec.get("options", {}).items():
            assert merged.setdefault(name, option) == option, name
    return merged


def tasks(role: Path) -> list[dict[str, Any]]:
    return [task for path in (role / "tasks").iterdir() for part in load(path) for task in flatten(part)]


def flatten(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A task and those in its blocks."""
    yield task
    for section in ("block", "rescue", "always"):
        for part in task.get(section, []):
            yield from flatten(part)


def source(role: Path) -> str:
    """All that the role does, without what it documents."""
    places = ("tasks", "vars", "templates")
    return "".join(path.read_text() for place in places for path in (role / place).rglob("*") if path.is_file())


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_roles_are_found() -> None:
    assert {"timewait_diagnose", "timewait_remediate", "timewait_stress"} <= {role.name for role in ROLES}


def test_defaults_are_those_of_the_spec(role: Path) -> None:
    in_spec = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert load(role / "defaults" / "main.yml") == in_spec


def test_defaults_pass_their_own_spec(role: Path) -> None:
    spec = {name: {**option, "required": False} for name, option in options(role).items()}
    result = ArgumentSpecValidator(spec).validate(load(role / "defaults" / "main.yml"))
    assert result.error_messages == []


def test_inputs_carry_the_name_of_the_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in options(role))
    private = load(role / "vars" / "main.yml") if (role / "vars").is_dir() else {}
    assert all(name.startswith(f"__{role.name}_") for name in private)


def test_every_file_of_tasks_is_an_entry_point_or_used_by_one(role: Path) -> None:
    files = {path.stem for path in (role / "tasks").iterdir()}
    assert set(entry_points(role)) <= files
    used = set(re.findall(r"_tasks: (\w+)\.yml|tasks_from: (\w+)", "".join(source(other) for other in ROLES)))
    assert files - set(entry_points(role)) <= {name for pair in used for name in pair}


def test_every_input_is_used(role: Path) -> None:
    assert [name for name in options(role) if not re.search(rf"\b{name}\b", source(role))] == []


def test_every_input_that_is_used_is_declared(role: Path) -> None:
    used = set(re.findall(rf"\b(?<!__){role.name}_\w+", source(role)))
    assert used <= {*options(role), *results(role)}


def test_every_default_has_a_reason(role: Path) -> None:
    lines = (role / "defaults" / "main.yml").read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line.startswith(f"{role.name}_")]
    assert all(lines[number - 1].startswith("# ") for number in keys)


def test_readme_names_every_input(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert [name for name in options(role) if f"`{name}`" not in readme] == []


def results(role: Path) -> list[str]:
    """What the tasks of a role leave."""
    names = [task["register"] for task in tasks(role) if "register" in task]
    return names + [name for task in tasks(role) for name in task.get("ansible.builtin.set_fact", {})]


def test_results_carry_the_name_of_the_role(role: Path) -> None:
    assert results(role)
    assert [name for name in results(role) if not name.removeprefix("__").startswith(f"{role.name}_")] == []


def test_readme_and_spec_name_every_public_result(role: Path) -> None:
    public = [name for name in results(role) if not name.startswith("__")]
    readme = (role / "README.md").read_text()
    assert [name for name in public if f"`{name}`" not in readme] == []

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs, defaults and READMEs of the roles say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/tasks/main.yml"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) or {}


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]


def options(role: Path) -> dict[str, dict[str, Any]]:
    """The options of all entry points; those with the same name must be the same."""
    merged: dict[str, dict[str, Any]] = {}
    for spec in entry_points(role).values():
        for name, option in spec["options"].items():
            assert merged.setdefault(name, option) == option, name
    return merged


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_all_roles_are_found() -> None:
    assert [role.name for role in ROLES] == ["timewait_diagnose", "timewait_remediate", "timewait_stress"]


def test_defaults_are_those_of_the_spec(role: Path) -> None:
    in_spec = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert load(role / "defaults" / "main.yml") == in_spec


def test_inputs_carry_the_name_of_the_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in options(role))
    private = load(role / "vars" / "main.yml") if (role / "vars").is_dir() else {}
    assert all(name.startswith(f"__{role.name}_") for name in private)


def test_every_file_of_tasks_is_an_entry_point(role: Path) -> None:
    assert {path.stem for path in (role / "tasks").iterdir()} == set(entry_points(role))


def test_every_default_has_a_reason(role: Path) -> None:
    lines = (role / "defaults" / "main.yml").read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line.startswith(f"{role.name}_")]
    assert all(lines[number - 1].startswith("# ") for number in keys)


def test_readme_names_every_input(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert [name for name in options(role) if f"`{name}`" not in readme] == []


def test_registered_results_are_private(role: Path) -> None:
    tasks = [part for path in (role / "tasks").iterdir() for task in load(path) for part in task.get("block", [task])]
    names = [task["register"] for task in tasks if "register" in task]
    assert names
    assert all(name.startswith(f"__{role.name}_") for name in names)

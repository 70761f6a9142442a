# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/messages.md has every message that a run can end with, and none that there is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/messages.md").read_text()
LISTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)

# What never is a message of its own: the text is that of another one, or stands in parentheses within one.
INNER = {
    "OSError",
    "PermissionError",
    "SystemExit",
    "KernelError",
    "NetlinkError",
    "NotUnderstoodError",
    "NotSelfContainedError",
}
INNER_PLACES = {
    "module_utils/_dropin/journal.py": {"ValueError", "NewerError"},  # the REASON in what `unreadable` says
    "module_utils/_dropin/namespace_journal.py": {"ValueError"},
    "module_utils/_usage/options.py": {"ValueError"},
    "plugin_utils/_report/earlier.py": {"ValueError", "UnreadableError"},  # the report names such files, and goes on
    "plugin_utils/_report/json_members.py": {"ValueError"},
    "module_utils/_sockets/probe.py": {"UnsupportedError", "NotAllowedError"},  # probe.why_not; likewise below
    "module_utils/_trace/tracefs.py": {"UnsupportedError"},
    "module_utils/_usage/others.py": {"NamespaceError"},
    "module_utils/_kernel/namespaces.py": {"NamespaceError"},  # "... cannot be entered: REASON"
    "module_utils/_usage/watch/command.py": {"ArgumentTypeError"},  # the command on a host, with its own --help
    "module_utils/_usage/watch/live.py": {"OptionError"},
}
# Functions that give a message to those who raise it, and variables that hold one.
GIVEN_BY = {
    "action/diagnosis.py": {"why"},
    "module_utils/_dropin/journal.py": {"unreadable"},
    "module_utils/_stress/http_server.py": {"_why_not"},
    "module_utils/_stress/report.py": {"why_no_proof", "_summarise_failures"},
    "module_utils/_stress/run.py": {"_NO_PYCURL"},
    "plugin_utils/_host_action.py": {"_refused"},
    "plugin_utils/_rollout/outcome.py": {"end"},
}
LEAST = 10  # letters of its own that a message has; below that it passes on another one


def parts(node: ast.expr, constants: Mapping[str, str]) -> list[str | None]:
    """The pieces of a text, None for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name) and node.id in constants:
        return [constants[node.id]]
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return parts(node.value, constants)
    if isinstance(node, ast.JoinedStr):
        return [piece for value in node.values for piece in parts(value, constants)]
    return [None]


def texts(node: ast.expr | None, constants: Mapping[str, str]) -> Iterator[list[str | None]]:
    if isinstance(node, ast.IfExp):
        yield from texts(node.body, constants)
        yield from texts(node.orelse, constants)
    elif isinstance(node, ast.Call):  # what wraps it
        yield from (text for one in node.args for text in texts(one, constants))
    elif node is not None:
        yield parts(node, constants)


def name_of(node: ast.expr) -> str:
    return str(getattr(node, "id", getattr(node, "attr", "")))


def messages_of(path: Path) -> Iterator[tuple[str, list[str | None]]]:
    name = str(path.relative_to(ROOT / "plugins"))
    tree = ast.parse(path.read_text())
    inner, given_by = INNER | INNER_PLACES.get(name, set()), GIVEN_BY.get(name, set())
    assigned = {name_of(one.targets[0]): one.value for one in tree.body if isinstance(one, ast.Assign)}
    values = {name: node.value for name, node in assigned.items() if isinstance(node, ast.Constant)}
    constants = {name: value for name, value in values.items() if isinstance(value, str)}
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and name_of(node.exc.func) not in inner:
            found = [*node.exc.args[:1]] if name_of(node.exc.func) != "_told" else [node.exc.args[1]]
        elif isinstance(node, ast.FunctionDef) and node.name in given_by:
            found = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
        elif isinstance(node, ast.Assign) and name_of(node.targets[0]) in given_by:
            found = [node.value]
        for text in (text for one in found for text in texts(one, constants)):
            told = [None, "; "] if isinstance(node, ast.Raise) and name_of(node.exc.func) == "_told" else []
            yield f"{name}:{getattr(node, 'lineno', 0)}", [*told, *text]


def messages_of_roles() -> Iterator[tuple[str, list[str | None]]]:
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]:
        for _indent, text in re.findall(r"^( +)(?:fail_)?msg: >-\n((?:\1  .*\n)+)", path.read_text(), re.MULTILINE):
            yield path.name, [None if "{{" in text else " ".join(text.split())]
    variables = yaml.safe_load((ROOT / "roles/timewait_monitor/vars/main.yml").read_text())
    for text in re.findall(r"'([^']+)'", variables["__timewait_monitor_why_not"]):
        yield "timewait_monitor", [None, text, None]
    pieces = re.split(r"\{\{.*?\}\}", variables["__timewait_monitor_does_not_run"])
    yield "timewait_monitor", [piece for text in pieces for piece in (text, None)]


def all_messages() -> list[tuple[str, list[str | None]]]:
    sources = [path for path in sorted((ROOT / "plugins").rglob("*.py")) if "__pycache__" not in path.parts]
    found = [one for path in sources for one in messages_of(path)] + [*messages_of_roles()]
    return [(place, text) for place, text in found if len(re.findall(r"\w", "".join(filter(None, text)))) >= LEAST]


def pattern(text: list[str | None]) -> str:
    """What is filled in by `.format` is so in braces."""
    pieces = [piece for part in text for piece in (re.split(r"(\{\w+\})", part) if part else [part])]
    return "".join(".*" if piece is None or re.fullmatch(r"\{\w+\}", piece) else re.escape(piece) for piece in pieces)


MESSAGES = all_messages()


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 120
    # What roles and playbooks say themselves is among them.
    assert {"report.yml", "respond.yml", "timewait_monitor"} <= {place for place, _text in MESSAGES}


@pytest.mark.parametrize(("place", "text"), MESSAGES, ids=[place for place, _text in MESSAGES])
def test_every_message_is_listed(place: str, text: list[str | None]) -> None:
    wanted = re.compile(f"(?:.*: )?(?:template NAME )?{pattern(text)}")  # after the name of an option
    assert any(wanted.fullmatch(line) for line in LISTED), f"{place}: {pattern(text)}"


def test_nothing_is_listed_that_is_not_said() -> None:
    patterns = [re.compile(f"(?:.*: )?(?:template NAME )?{pattern(text)}") for _place, text in MESSAGES]
    assert [line for line in LISTED if not any(one.fullmatch(line) for one in patterns)] == []
    assert len(LISTED) == len(set(LISTED))

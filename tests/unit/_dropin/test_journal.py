# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered is what was, and what is not a journal is never taken for one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.durable_file import FileState
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import (
    EMPTY_JOURNAL,
    History,
    Journal,
    JournalError,
    Snapshot,
    Trial,
    journal_path,
    load_journal,
    save_journal,
)

RESERVED, START = "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start"

FILE = FileState(b"\0\xff\n", 0o640, 1, 2, b"system_u:object_r:etc_t:s0\0")
NO_FILE = Snapshot(None, {})
FULL = Journal(
    History(
        Snapshot(None, {"a.b": "1", RESERVED: "", START: "0"}),
        Snapshot(FILE, {"a.b": "2", RESERVED: "80", START: "1024"}),
        {"a.b": "\udcff", RESERVED: None, START: "no port"},
        "80",
    ),
    Snapshot(FILE._replace(context=None), {"a.b": "3", RESERVED: "1-9", START: "400"}),
    Trial(
        Snapshot(FILE, {"a.b": "3"}),
        {"a.b": "2"},
        History(Snapshot(None, {"a.b": "1"}), Snapshot(FILE, {"a.b": "2"}), {"a.b": None}),
    ),
)
JOURNALS = [
    Journal(None, NO_FILE),
    Journal(History(Snapshot(None, {"a.b": "1\t2"}), Snapshot(FILE, {"a.b": "\xff"}), {"a.b": "1"})),
    Journal(History(Snapshot(FILE, {}), Snapshot(FILE._replace(context=None), {}), {}), Snapshot(FILE, {"a.b": ""})),
    Journal(
        History(Snapshot(None, {"a.b": "1"}), Snapshot(FILE, {"a.b": "2"}), {"a.b": None}),
        None,
        Trial(NO_FILE, {}, None),
    ),
    FULL,
]

# Nothing of this can stand anywhere in a journal, but for what may_be() says.
WRONG: list[object] = [
    True, -1, 0.5, 1e400, float("nan"), 1 << 33, 10**400, "", "?", "\ud800", "\u20ac", [], [[]], {},
    {"a": None}, {"": ""},
]  # fmt: skip
# Where any keys may stand.
FREE = (("pending", "values"),)
DEEP = "[" * 100_000


@pytest.mark.parametrize("journal", JOURNALS)
def test_round_trip(tmp_path: Path, journal: Journal) -> None:
    path = journal_path(str(tmp_path), "/etc/sysctl.d/a.conf")
    assert load_journal(path) == EMPTY_JOURNAL
    save_journal(path, journal, "/a.conf")
    assert load_journal(path) == journal
    save_journal(path, EMPTY_JOURNAL, "/a.conf")
    assert not list(tmp_path.iterdir())


def test_what_is_in_place_is_not_written_again(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    save_journal(path, FULL, "/a.conf")
    written = Path(path).stat().st_ino
    save_journal(path, FULL, "/a.conf")
    assert Path(path).stat().st_ino == written


@given(st.lists(st.text("ab/-_%.", max_size=6).map("/{}".format), min_size=2, max_size=2, unique=True))
def test_no_two_files_share_a_journal(paths: list[str]) -> None:
    one, other = (journal_path("/state", path) for path in paths)
    assert one != other
    assert Path(one).parent == Path("/state")


def places(data: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every part of a JSON document, the document itself among them."""
    yield path
    if isinstance(data, dict):
        for name in data:
            yield from places(data[name], (*path, name))


def with_part(data: Any, path: tuple[str, ...], value: object) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(data)
    part = changed
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return changed


def without_part(data: Any, path: tuple[str, ...]) -> Any:
    changed = copy.deepcopy(data)
    part = changed
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return changed


def refuse(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(JournalError, match="is not a journal of this collection") as error:
        load_journal(str(path))
    assert str(error.value).startswith(f"{path} is not a journal")
    assert len(str(error.value)) < 500
    return str(error.value)


@pytest.fixture
def document(tmp_path: Path) -> Any:
    path = tmp_path / "full.json"
    save_journal(str(path), FULL, "/a.conf")
    return json.loads(path.read_text())


def may_be(path: tuple[str, ...], value: object) -> bool:
    """Whether a journal may have this value here, strange as it is."""
    if path[-2:-1] == ("boot",):
        return isinstance(value, str)
    if path[-1:] == ("asked",):
        return value == ""
    if path[-2:-1] in (("values",), ("after",)) and path[-1] != START:
        return value == "" or (value == "?" and path[-1] == "a.b")
    if path in FREE:
        return value == {}
    return path[-1:] == ("content",) and value == ""


def test_every_part_is_checked(tmp_path: Path, document: Any) -> None:
    for path in places(document):
        for value in WRONG:
            if not may_be(path, value):
                refuse(tmp_path / "a.json", json.dumps(with_part(document, path, value)))
        if path and path[:-1] not in FREE:
            refuse(tmp_path / "a.json", json.dumps(without_part(document, path)))
        text = json.dumps(with_part(document, path, "HERE"))
        refuse(tmp_path / "a.json", text.replace('"HERE"', DEEP))


def test_every_part_has_its_fields_and_no_others(tmp_path: Path, document: Any) -> None:
    for path in places(document):
        part = document
        for name in path:
            part = part[name]
        if isinstance(part, dict):
            refuse(tmp_path / "a.json", json.dumps(with_part(document, path, {**part, "more": None})))


@pytest.mark.parametrize("name", ["a", "a b.c", "../../etc/x", "net/ipv4/x", "a.b\0c", "", "a..b"])
def test_names_of_sysctls_are_checked(tmp_path: Path, document: Any, name: str) -> None:
    document["pending"]["values"][name] = "1"
    assert "a key is not the name of a sysctl" in refuse(tmp_path / "a.json", json.dumps(document))


@pytest.mark.parametrize("value", ["high", "99999999", "\u00b2", "1 2", "-1"])
def test_values_that_the_order_of_writes_depends_on_are_checked(tmp_path: Path, document: Any, value: str) -> None:
    for key in (RESERVED, START):
        if (key, value) not in ((RESERVED, "1 2"),):
            document["pending"]["values"] = {key: value}
            refuse(tmp_path / "a.json", json.dumps(document))


def test_a_trial_of_something_else_is_refused(tmp_path: Path, document: Any) -> None:
    text = json.dumps(with_part(document, ("history",), None))
    assert "the trial is not one of what was applied" in refuse(tmp_path / "a.json", text)
    text = json.dumps(with_part(document, ("trial", "before", "values"), {"c.d": "1"}))
    assert "before and after do not match" in refuse(tmp_path / "a.json", text)


def test_parts_that_do_not_match_are_refused(tmp_path: Path, document: Any) -> None:
    for path in (("applied", "values", "a.b"), ("boot", "a.b")):
        text = json.dumps(without_part(document, ("history", *path)))
        assert "origin, applied and boot do not match" in refuse(tmp_path / "a.json", text)


@pytest.mark.parametrize("kind", [1, 2, "3", 3.0, True, None])
def test_another_format_is_refused(tmp_path: Path, document: Any, kind: object) -> None:
    assert "its format is not 3" in refuse(tmp_path / "a.json", json.dumps({**document, "format": kind}))


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "journal.json"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is not a journal of this collection"):
        load_journal(str(path))

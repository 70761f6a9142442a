# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was set in which network namespace is remembered, and no other namespace is taken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import namespace_journal
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import (
    History,
    JournalError,
    Snapshot,
    load_journals,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.namespace_journal import Entry
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.known import Known
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.owners import Owner

WEB = Known(Namespace(7, None, 300), None, Owner("podman", "web", "a" * 64), "nginx")
HISTORY = History(Snapshot(None, {"a.b": "1"}), Snapshot(None, {"a.b": "2"}), {"a.b": None}, "80")
ENTRY = Entry("boot", WEB.describe(5), HISTORY, {"a.b": "3"})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    odd = WEB._replace(name="\udcff \u202e")  # a path of a mount may have any bytes
    entries = [ENTRY, Entry("boot", odd.describe(None), None, {}), Entry("boot", WEB.describe(None), HISTORY)]
    namespace_journal.save(str(tmp_path), entries)
    assert namespace_journal.load(str(tmp_path)) == entries
    assert load_journals(str(tmp_path)) == {}
    written = (tmp_path / namespace_journal.NAME).stat()
    assert written.st_mode & 0o777 == 0o600
    namespace_journal.save(str(tmp_path), entries)
    assert (tmp_path / namespace_journal.NAME).stat() == written
    namespace_journal.save(str(tmp_path), [])
    assert list(tmp_path.iterdir()) == []
    assert namespace_journal.load(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("inode", "cookie", "owner", "is_same"),
    [
        (7, 5, "web", True),
        (7, 5, "shop", True),  # another process is the oldest now
        (8, 5, "web", False),
        (7, 6, "web", False),
    ],
)
def test_it_is_the_same_by_the_cookie_of_the_kernel(inode: int, cookie: int, owner: str, is_same: bool) -> None:
    now = Known(Namespace(inode, None, 1), None, Owner("podman", owner, "b"))
    assert now.is_described(ENTRY.namespace, cookie) is is_same


def test_without_a_cookie_it_is_the_same_by_its_owner() -> None:
    then = WEB.describe(None)
    assert WEB._replace(program="sh").is_described(then, None)
    assert not WEB._replace(owner=Owner("podman", "web", "b")).is_described(then, None)
    assert not WEB._replace(name="blue").is_described(then, None)


def test_how_many_are_set(tmp_path: Path) -> None:
    assert namespace_journal.count(str(tmp_path)) == 0
    namespace_journal.save(str(tmp_path), [ENTRY, ENTRY._replace(boot="later")])
    assert namespace_journal.count(str(tmp_path)) == 2
    (tmp_path / namespace_journal.NAME).write_text("damaged")
    assert namespace_journal.count(str(tmp_path)) == 0


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(st.data())
def test_what_is_damaged_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever part is replaced by something else: it is refused, or what is read has the types that are wanted."""
    directory = tmp_path_factory.mktemp("state")
    namespace_journal.save(str(directory), [ENTRY])
    path = directory / namespace_journal.NAME
    content: Any = json.loads(path.read_text())
    (entry,) = content["namespaces"]
    place: Any = data.draw(st.sampled_from([content, entry, entry["namespace"], entry["history"], entry["pending"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    path.write_text(json.dumps(content))
    try:
        entries = namespace_journal.load(str(directory))
    except JournalError:
        return
    namespace_journal.save(str(directory), entries)
    for one in entries:
        assert one.history is None or isinstance(one.history, History)
        assert WEB.is_described(one.namespace, None) in (True, False)

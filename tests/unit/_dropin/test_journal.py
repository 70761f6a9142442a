# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered is what was, and what is not a journal is never taken for one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.durable_file import FileState
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import (
    EMPTY_JOURNAL,
    Journal,
    Snapshot,
    journal_path,
    load_journal,
    save_journal,
)

FILE = FileState(b"\0\xff\n", 0o640, 1, 2, b"system_u:object_r:etc_t:s0\0")
JOURNALS = [
    Journal(None, None, Snapshot(None, {})),
    Journal(Snapshot(None, {"a.b": "1\t2"}), Snapshot(FILE, {"a.b": "\xff"}), None),
    Journal(Snapshot(FILE, {}), Snapshot(FILE._replace(context=None), {}), Snapshot(FILE, {"a.b": ""})),
    Journal(
        Snapshot(None, {"a.b": "1"}),
        Snapshot(FILE, {"a.b": "2"}),
        None,
        Journal(Snapshot(None, {}), Snapshot(FILE, {}), Snapshot(None, {"a.b": "3"})),
    ),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["values", "file", "mode", "a"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("journal", JOURNALS)
def test_round_trip(tmp_path: Path, journal: Journal) -> None:
    path = journal_path(str(tmp_path / "state"), "/etc/sysctl.d/a.conf")
    assert load_journal(path) == EMPTY_JOURNAL
    save_journal(path, journal)
    assert load_journal(path) == journal
    save_journal(path, EMPTY_JOURNAL)
    assert not list(tmp_path.iterdir())


def test_what_is_in_place_is_not_written_again(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    save_journal(path, JOURNALS[1])
    written = Path(path).stat().st_ino
    save_journal(path, JOURNALS[1])
    assert Path(path).stat().st_ino == written


def test_directory_with_other_journals_stays(tmp_path: Path) -> None:
    one, other = (journal_path(str(tmp_path / "state"), path) for path in ("/a.conf", "/b.conf"))
    save_journal(one, JOURNALS[1])
    save_journal(other, JOURNALS[1])
    save_journal(one, EMPTY_JOURNAL)
    assert load_journal(other) == JOURNALS[1]


@given(st.lists(st.text("ab/-_%.", max_size=6).map("/{}".format), min_size=2, max_size=2, unique=True))
def test_no_two_files_share_a_journal(paths: list[str]) -> None:
    one, other = (journal_path("/state", path) for path in paths)
    assert one != other
    assert Path(one).parent == Path("/state")


def test_a_trial_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_journal(str(path), JOURNALS[-1])
    for field, value in (("pending", None), ("pending", {"file": None, "values": {"c.d": "1"}})):
        data = json.loads(path.read_text())
        data["trial"][field] = value
        damaged = tmp_path / "b.json"
        damaged.write_text(json.dumps(data))
        with pytest.raises(ValueError, match="the trial is not one of what was applied"):
            load_journal(str(damaged))


@given(origin=JSON, applied=JSON, pending=JSON, trial=JSON)
def test_anything_else_is_refused(
    tmp_path_factory: pytest.TempPathFactory, origin: object, applied: object, pending: object, trial: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "journal.json"
    data = {"format": 1, "origin": origin, "applied": applied, "pending": pending, "trial": trial}
    path.write_text(json.dumps(data))
    with contextlib.suppress(ValueError):
        assert isinstance(load_journal(str(path)), Journal)

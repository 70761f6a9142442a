# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides on a value or the file: sysctl_dropin, or somebody else since."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .dropin import (
    DROPIN,
    FIN,
    KEYS,
    RANGE,
    RESERVED,
    REUSE,
    STATE,
    absent,
    contents,
    get,
    nothing_changes,
    present,
    put,
    statuses,
)
from .inside import private


@private
def test_value_changed_since_is_kept() -> None:
    present()
    put(REUSE, "0")
    result = absent()
    assert statuses(result) == {RESERVED: "restored", RANGE: "restored", REUSE: "kept"}
    assert (get(REUSE), get(RANGE), DROPIN.exists()) == ("0", "32768 60999", False)
    with nothing_changes():
        assert not absent()["changed"]


@private
def test_value_of_a_dropped_key_changed_since_is_kept() -> None:
    present()
    put(RANGE, "20000 60000")
    assert statuses(present(f"{REUSE} = 1\n")) == {REUSE: "unchanged", RESERVED: "restored", RANGE: "kept"}
    assert get(RANGE) == "20000 60000"
    assert statuses(absent()) == {REUSE: "restored"}
    assert get(RANGE) == "20000 60000"


@private
def test_value_that_somebody_else_decided_and_an_apply_confirmed_stays() -> None:
    present(f"{REUSE} = 1\n")
    put(REUSE, "0")
    DROPIN.write_text(f"{REUSE} = 0\n")
    assert not present(f"{REUSE} = 0\n")["changed"]
    absent()
    assert (get(REUSE), DROPIN.exists()) == ("0", False)


@private
def test_reservations_added_between_two_applies_stay() -> None:
    present(f"{RESERVED} = 15432\n")
    put(RESERVED, "15432,21000")
    present(f"{RESERVED} = 15432,21000,30000\n")
    absent()
    assert get(RESERVED) == "21000"


@private
def test_value_that_another_file_sets_since_is_respected() -> None:
    present(f"{REUSE} = 1\n{FIN} = 30\n")
    Path("/etc/sysctl.d/98-admin.conf").write_text(f"{REUSE} = 1\n{FIN} = 20\n{RANGE} = nonsense\n")
    result = absent()
    assert (get(REUSE), get(FIN)) == ("1", "20")
    assert {one["key"]: one["boot_file"] for one in result["settings"]}[REUSE] == "/etc/sysctl.d/98-admin.conf"


@private
def test_edited_file_is_kept_with_the_keys_that_it_sets() -> None:
    before = contents()
    present()
    edited = f"{REUSE} = 1\n# I need this\n"
    DROPIN.write_text(edited)
    result = absent()
    assert (result["changed"], result["file"]) == (True, "kept")
    assert statuses(result) == {REUSE: "kept", RANGE: "restored", RESERVED: "restored"}
    assert (DROPIN.read_text(), get(REUSE), get(RANGE)) == (edited, "1", "32768 60999")
    with nothing_changes():
        result = absent()
    assert (result["changed"], result["file"]) == (False, "kept")
    DROPIN.unlink()
    assert statuses(absent()) == {REUSE: "restored"}
    assert contents() == before


@private
def test_file_edited_beyond_reading_keeps_all() -> None:
    present()
    DROPIN.write_text("net.ipv4.* = 1\n")
    with nothing_changes_but_journal():
        result = absent()
    assert (result["changed"], set(statuses(result).values())) == (False, {"kept"})


@contextlib.contextmanager
def nothing_changes_but_journal() -> Iterator[None]:
    before = DROPIN.read_bytes(), {key: get(key) for key in KEYS}
    yield
    assert (DROPIN.read_bytes(), {key: get(key) for key in KEYS}) == before


@private
def test_file_removed_by_somebody_else_stays_away() -> None:
    present()
    DROPIN.unlink()
    result = absent()
    assert (result["changed"], result["file"], get(REUSE)) == (True, "absent", "2")
    assert not STATE.exists()


@private
def test_foreign_file_comes_back_also_where_ours_was_removed() -> None:
    DROPIN.write_text("# theirs\n")
    present()
    DROPIN.unlink()
    result = absent()
    assert (result["file"], DROPIN.read_text(), get(REUSE)) == ("restored", "# theirs\n", "2")
    with nothing_changes():
        assert not absent()["changed"]

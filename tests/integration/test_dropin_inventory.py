# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection has set follows what it is asked for, key by key, and so does what it gives back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import load_journal

from .dropin import (
    DROPIN,
    FIN,
    JOURNAL,
    MISSING,
    OTHER_CONTENT,
    RANGE,
    RESERVED,
    REUSE,
    START,
    STATE,
    absent,
    contents,
    get,
    nothing_changes,
    present,
    put,
    run_module,
    statuses,
)
from .inside import private

COMMENTED = f"# Ours.\n\n# Ports of services.\n{RESERVED} = 15432\n\n# Reuse.\n{REUSE} = 1\n"
OTHER = DROPIN.with_name("99-zz-other.conf")


# Keys that the text no longer names


@private
def test_ports_that_somebody_else_has_reserved_stay_where_ours_are_released() -> None:
    put(RESERVED, "8080")
    present(f"{RESERVED} = 8080,20000,21000-21010\n")
    put(RESERVED, "8080,9090,20000,21000-21010")
    present(f"{RESERVED} = 8080,9090,20000\n")
    result = present(f"{REUSE} = 1\n")
    assert statuses(result) == {REUSE: "changed", RESERVED: "restored"}
    assert get(RESERVED) == "8080,9090"


@private
def test_value_that_a_file_sets_since_counts_for_a_dropped_key() -> None:
    present()
    Path("/etc/sysctl.d/98-admin.conf").write_text(f"{REUSE} = 0\n")
    present(f"{RANGE} = 10240 65535\n")
    assert get(REUSE) == "0"


@private
def test_dropped_key_that_the_kernel_does_not_let_go_is_a_conflict() -> None:
    """It stays in force, and no file sets it any more."""
    present(f"{START} = 400\n{FIN} = 30\n")
    put(RANGE, "500 65535")
    for check in (True, False):
        with nothing_changes(), pytest.raises(ApplyError, match=rf"{START} = 400, which an earlier run has set"):
            present(f"{FIN} = 30\n", check=check)
    predicted = present(f"{FIN} = 30\n", check=True, on_conflict="warn")
    result = present(f"{FIN} = 30\n", on_conflict="warn")
    assert predicted == result
    assert statuses(result) == {FIN: "unchanged", START: "kept"}
    assert any("the kernel refuses 1024, as it was before" in warning for warning in result["warnings"])
    put(RANGE, "32768 60999")
    present(f"{FIN} = 30\n")
    assert get(START) == "1024"


@private
def test_dropped_keys_come_back_with_a_trial() -> None:
    before = contents()
    present()
    earlier = contents()
    assert statuses(present(OTHER_CONTENT, trial=True))[RANGE] == "restored"
    assert get(RANGE) == "32768 60999"
    predicted = absent(trial=True, check=True)
    assert absent(trial=True) == predicted
    assert contents() == earlier
    absent()
    assert contents() == before


@private
def test_range_that_somebody_has_widened_is_what_it_was_before() -> None:
    """A later apply that widens it further does not forget that."""
    present(f"{RANGE} = 10240 65535\n")
    put(RANGE, "5000 65535")
    present(f"{RANGE} = 4000 65535\n")
    absent()
    assert get(RANGE) == "5000 65535"


@private
def test_ports_that_were_asked_for_by_name_are_noted() -> None:
    present(f"{RESERVED} = 8080,20000\n", asked_ports="20000")
    history = load_journal(str(JOURNAL)).history
    assert history is not None
    assert history.asked == "20000"


# Roll back some keys


@private
def test_one_key_alone_is_rolled_back() -> None:
    before = contents()
    present(COMMENTED)
    predicted = absent(check=True, keys=[REUSE])
    with nothing_changes():
        absent(check=True, keys=[REUSE])
    result = absent(keys=[REUSE])
    assert result == predicted
    assert (statuses(result), get(REUSE), get(RESERVED)) == ({REUSE: "restored"}, "2", "15432")
    assert DROPIN.read_text() == f"# Ours.\n\n# Ports of services.\n{RESERVED} = 15432\n"
    with nothing_changes():
        assert not absent(keys=["net/ipv4/tcp_tw_reuse"])["changed"]
        assert not absent(keys=[FIN])["changed"]
    absent()
    assert contents() == before


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("key", [MISSING, "tcp_tw_reuse", "net.ipv4", "1", ""])
@private
def test_a_name_that_nothing_has_is_not_rolled_back(key: str, applied: bool) -> None:
    """A slip is not what was rolled back already."""
    if applied:
        present(COMMENTED)
    for check in (True, False):
        with nothing_changes(), pytest.raises(OptionError, match=f"^keys: {key or 'an empty name'} is no sysctl"):
            absent(check=check, keys=[REUSE, key])


@private
def test_a_key_that_this_kernel_lacks_is_rolled_back_twice() -> None:
    present(f"{COMMENTED}-{MISSING} = 5\n-net.ipv4.tcp_tw_recycle = 0\n")
    assert absent(keys=[MISSING, "net.ipv4.tcp_tw_recycle"])["changed"]
    assert DROPIN.read_text() == COMMENTED
    with nothing_changes():
        absent(keys=["net.ipv4.tcp_tw_recycle"])


@private
def test_all_keys_are_the_whole_rollback() -> None:
    before = contents()
    present(COMMENTED)
    absent(keys=[REUSE, RESERVED])
    assert contents() == before


@private
def test_the_last_key_takes_the_file_with_it() -> None:
    before = contents()
    present(COMMENTED)
    absent(keys=[REUSE])
    absent(keys=[RESERVED])
    assert contents() == before


@private
def test_lines_of_an_edited_file_are_not_touched() -> None:
    present(COMMENTED)
    DROPIN.write_text(f"{REUSE} = 1\n# mine\n")
    result = absent(keys=[REUSE, RESERVED])
    assert (result["file"], statuses(result)) == ("kept", {REUSE: "kept", RESERVED: "restored"})
    assert DROPIN.read_text() == f"{REUSE} = 1\n# mine\n"


@private
def test_keys_go_with_a_whole_rollback_only() -> None:
    present(trial=True)
    for options in ({"trial": True, "state": "absent"}, {"state": "confirmed"}):
        with nothing_changes(), pytest.raises(OptionError, match="keys go with state: absent"):
            run_module(False, keys=[REUSE], content=None, **options)
    with nothing_changes(), pytest.raises(ApplyError, match="a change is on trial"):
        absent(keys=[REUSE])


# Two drop-ins


@pytest.mark.parametrize("second", ["0", "1"])
@pytest.mark.parametrize("order", [(DROPIN, OTHER), (OTHER, DROPIN)], ids=["older first", "newer first"])
@private
def test_two_dropins_with_one_key_are_rolled_back_in_either_order(order: tuple[Path, Path], second: str) -> None:
    before = contents()
    assert present(f"{REUSE} = 1\n{RESERVED} = 8080\n")["warnings"] == []
    result = present(f"{REUSE} = {second}\n{RESERVED} = 8080,9090\n", path=str(OTHER))
    assert [warning.split(",")[0] for warning in result["warnings"] if "too" in warning] == [
        f"{REUSE} is set by {DROPIN} too",
        f"{RESERVED} is set by {DROPIN} too",
    ]
    for path in order:
        predicted = absent(path=str(path), check=True)
        assert absent(path=str(path)) == predicted
        left = OTHER if path is DROPIN else DROPIN
        if left.exists():
            assert (get(REUSE), get(RESERVED)) == ((second, "8080,9090") if left is OTHER else ("1", "8080"))
    assert contents() == before
    assert not STATE.exists()


@private
def test_dropin_of_another_state_directory_is_just_a_file() -> None:
    present(f"{REUSE} = 1\n")
    other = {"path": str(OTHER), "state_dir": str(STATE.with_name("elsewhere"))}
    present(f"{REUSE} = 0\n", **other)
    absent(**other)
    assert get(REUSE) == "1"
    absent()
    assert get(REUSE) == "2"

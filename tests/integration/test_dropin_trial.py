# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes on trial: rolled back by themselves, or confirmed."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import load_journal

from .dropin import (
    CONTENT,
    DROPIN,
    FIN,
    JOURNAL,
    KEYS,
    OTHER_CONTENT,
    RANGE,
    RESERVED,
    REUSE,
    STATE,
    absent,
    break_off,
    contents,
    everything,
    get,
    make_read_only,
    nothing_changes,
    present,
    put,
    run_module,
    statuses,
)
from .inside import private


@private
def test_a_trial_is_rolled_back_to_what_an_earlier_run_had_made() -> None:
    """Also a key that it no longer names."""
    original = contents()
    present(OTHER_CONTENT)
    earlier = contents()

    tried = present(trial=True)
    assert (tried["changed"], tried["on_trial"], get(REUSE)) == (True, True, "1")
    predicted = absent(trial=True, check=True)
    done = absent(trial=True)
    assert predicted == done
    assert (done["changed"], done["file"], done["on_trial"]) == (True, "restored", False)
    assert contents() == earlier
    assert get(FIN) == "30"

    absent()
    assert contents() == original


@private
def test_the_first_change_on_trial_is_rolled_back_to_the_origin() -> None:
    before = contents()
    present(trial=True)
    assert absent(trial=True)["file"] == "removed"
    assert contents() == before


@private
def test_a_trial_that_is_confirmed_stays_and_only_the_journal_changes() -> None:
    before = contents()
    present(trial=True)
    tried = everything()
    confirm = {"content": None, "state": "confirmed"}
    assert run_module(True, **confirm)["changed"] is False
    assert everything() == tried
    assert present(trial=True, check=True)["on_trial"] is True

    done = run_module(False, **confirm)
    assert (done["changed"], done["on_trial"], done["file"]) == (False, False, "unchanged")
    assert load_journal(str(JOURNAL)).trial is None
    assert present(trial=True)["on_trial"] is False
    with nothing_changes():
        run_module(False, **confirm)
        assert absent(trial=True)["changed"] is False
    assert get(REUSE) == "1"
    absent()
    assert contents() == before


@private
def test_a_run_without_trial_confirms_too() -> None:
    present(trial=True)
    assert present(check=True)["on_trial"] is False
    done = present()
    assert (done["changed"], done["on_trial"]) == (False, False)
    assert load_journal(str(JOURNAL)).trial is None


@private
def test_nothing_is_on_trial_where_nothing_changes() -> None:
    present()
    with nothing_changes():
        assert present(trial=True)["on_trial"] is False


@private
def test_two_trials_are_rolled_back_as_one() -> None:
    present(OTHER_CONTENT)
    earlier = contents()
    present(trial=True)
    present(f"{RANGE} = 2000 65001\n{FIN} = 40\n", trial=True)
    assert absent(trial=True)["changed"] is True
    assert contents() == earlier


@private
def test_what_somebody_else_has_changed_during_the_trial_stays() -> None:
    present(OTHER_CONTENT)
    present(trial=True)
    put(RANGE, "5000 60001")
    done = absent(trial=True)
    assert statuses(done)[RANGE] == "kept"
    assert (get(RANGE), get(REUSE), DROPIN.read_text()) == ("5000 60001", "0", OTHER_CONTENT)


@private
def test_a_file_that_was_edited_during_the_trial_stays() -> None:
    before = {key: get(key) for key in KEYS}
    present(OTHER_CONTENT)
    present(trial=True)
    edited = f"{REUSE} = 1\n# mine\n"
    DROPIN.write_text(edited)
    done = absent(trial=True)
    assert (done["file"], done["on_trial"]) == ("kept", False)
    assert DROPIN.read_text() == edited
    assert (get(REUSE), get(RANGE), get(RESERVED), get(FIN)) == ("1", before[RANGE], "", "30")

    DROPIN.unlink()
    absent()
    assert {key: get(key) for key in KEYS} == before


@private
def test_a_trial_of_a_run_that_died_is_rolled_back_with_it() -> None:
    present(OTHER_CONTENT)
    earlier = contents()
    present(trial=True)

    break_off(lambda: present(f"{FIN} = 50\n", trial=True))
    done = absent(trial=True)
    assert done["recovered"]
    assert contents() == earlier


@private
def test_a_journal_that_cannot_be_written_is_told_in_check_mode_too() -> None:
    present(trial=True)
    make_read_only(STATE)
    for check in (True, False):
        for state, content in (("confirmed", None), ("present", CONTENT)):
            with nothing_changes(), pytest.raises(ApplyError, match=f"write into {STATE}; it is read-only"):
                run_module(check, state=state, content=content)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interrupted run left behind is rolled back by the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import durable_file
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.lock import LOCK_NAME

from .dropin import (
    CONTENT,
    DROPIN,
    FIN,
    JOURNAL,
    MISSING,
    OTHER_CONTENT,
    REUSE,
    STATE,
    absent,
    break_off,
    contents,
    get,
    present,
    statuses,
)
from .inside import private


@private
def test_interrupted_run_is_rolled_back_first() -> None:
    before = contents()
    break_off(present)
    assert (DROPIN.exists(), get(REUSE), JOURNAL.exists()) == (True, "1", True)
    result = absent()
    assert (result["changed"], result["recovered"], result["file"]) == (True, True, "absent")
    assert contents() == before


@private
def test_apply_goes_on_after_recovering() -> None:
    present()
    break_off(lambda: present(OTHER_CONTENT))
    assert get(FIN) == "30"
    result = present()
    assert (result["changed"], result["recovered"]) == (True, True)
    assert set(statuses(result).values()) == {"unchanged", "skipped"}
    assert (get(FIN), get(REUSE), DROPIN.read_text()) == ("60", "1", CONTENT)
    absent()
    assert get(REUSE) == "2"


@private
def test_key_that_is_gone_since_the_crash_stops_nothing() -> None:
    break_off(present)
    data = json.loads(JOURNAL.read_text())
    data["pending"]["values"][MISSING] = "1"
    JOURNAL.write_text(json.dumps(data))
    assert absent()["recovered"]
    assert get(REUSE) == "2"


@private
def test_temporary_files_of_a_crash_go() -> None:
    present()
    for path in (DROPIN, JOURNAL):
        Path(durable_file.temporary_path(str(path))).write_text("half")
    present()
    left = {path.name for path in (*DROPIN.parent.iterdir(), *STATE.iterdir())}
    assert left == {DROPIN.name, JOURNAL.name, LOCK_NAME}


@private
def test_failure_to_roll_back_is_said_and_made_good_later() -> None:
    break_off(present)
    data = json.loads(JOURNAL.read_text())
    data["pending"]["values"][REUSE] = "7"
    JOURNAL.write_text(json.dumps(data))
    with pytest.raises(ApplyError, match=r"could not be rolled back: the kernel refused .* = 7.*try again"):
        absent()
    data["pending"]["values"][REUSE] = "2"
    JOURNAL.write_text(json.dumps(data))
    assert absent()["recovered"]

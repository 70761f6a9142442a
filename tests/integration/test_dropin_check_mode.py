# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode says exactly what a run will do, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .dropin import DROPIN, FIN, KEYS, OTHER_CONTENT, REUSE, Run, absent, break_off, get, nothing_changes, present, put
from .inside import private

Prepare = Callable[[], object]
SCENARIOS: dict[str, tuple[Prepare, Run]] = {
    "first apply": (lambda: None, present),
    "over a foreign file": (lambda: DROPIN.write_text("# theirs\n"), present),
    "second run": (present, present),
    "other content": (lambda: present(OTHER_CONTENT), present),
    "drift": (lambda: (present(), put(REUSE, "0")), present),
    "dropped key that drifted": (lambda: (present(OTHER_CONTENT), put(FIN, "31")), present),
    "roll back": (present, absent),
    "roll back nothing": (lambda: None, absent),
    "roll back with drift": (lambda: (present(), put(REUSE, "0")), absent),
    "roll back an edited file": (lambda: (present(), DROPIN.write_text(f"{REUSE} = 1\n")), absent),
    "roll back a removed file": (lambda: (present(), DROPIN.unlink()), absent),
    "apply after a first apply that broke off": (lambda: break_off(lambda: present(OTHER_CONTENT)), present),
    "apply after the same apply that broke off": (lambda: break_off(present), present),
    "apply after another apply that broke off": (
        lambda: (present(), break_off(lambda: present(OTHER_CONTENT))),
        present,
    ),
    "roll back after an apply that broke off": (lambda: (present(), break_off(lambda: present(OTHER_CONTENT))), absent),
    "roll back after the first apply broke off": (lambda: break_off(present), absent),
    "roll back after a rollback that broke off": (lambda: (present(), break_off(absent)), absent),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@private
def test_check_mode_predicts_exactly(scenario: str) -> None:
    prepare, run = SCENARIOS[scenario]
    prepare()
    with nothing_changes():
        predicted = run(check=True)
    before = {key: get(key) for key in KEYS}, DROPIN.exists() and DROPIN.read_text()
    result = run()
    assert result == predicted
    after = {key: get(key) for key in KEYS}, DROPIN.exists() and DROPIN.read_text()
    assert result["changed"] or before == after
    for setting in result["settings"]:
        if setting["after"] is not None:
            assert setting["after"] == get(setting["key"])
    assert result["diff"][0]["after"] == (DROPIN.read_text() if DROPIN.exists() else "")
    with nothing_changes():
        assert not run()["changed"]

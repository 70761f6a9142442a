# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that an earlier version has changed: this one changes nothing there, and rolls back what that one has set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import JournalError, journal_path

from . import dropin
from .dropin import DROPIN, JOURNAL, RANGE, RESERVED, REUSE, absent, get, present, put, run_module
from .inside import private
from .private_host import STATE, private_host, use_own_ansible

VERSIONS = sorted(path.parent for path in (Path(__file__).parents[1] / "upgrade").glob("*/journal.json"))
of_each = pytest.mark.parametrize("version", VERSIONS, ids=[path.name for path in VERSIONS])

BEFORE = {RANGE: "32768 60999", RESERVED: "40000", REUSE: "2"}
APPLIED = {RANGE: "10240 65535", RESERVED: "20000,40000", REUSE: "1"}


def host_of(version: Path, journal: str = "journal.json", **changed: object) -> None:
    for key, value in APPLIED.items():
        put(key, value)
    DROPIN.write_bytes((version / "drop-in.conf").read_bytes())
    dropin.STATE.mkdir(mode=0o700, exist_ok=True)
    JOURNAL.touch(0o600)
    JOURNAL.write_text(json.dumps({**json.loads((version / journal).read_text()), **changed}))


def values() -> dict[str, str]:
    return {key: get(key) for key in BEFORE}


@of_each
@private
def test_what_was_applied_on_trial_is_rolled_back_or_confirmed(version: Path) -> None:
    host_of(version, "journal-on-trial.json")
    assert absent(trial=True)["changed"]
    assert (values(), DROPIN.exists(), JOURNAL.exists()) == (BEFORE, False, False)
    host_of(version, "journal-on-trial.json")
    run_module(False, content=None, state="confirmed")
    assert absent()["changed"]
    assert (values(), DROPIN.exists()) == (BEFORE, False)


@private
def test_what_a_newer_version_has_set_is_left_to_it() -> None:
    host_of(VERSIONS[-1], format=4)
    before = values(), DROPIN.read_text(), JOURNAL.read_text()
    for run in (present, absent):
        with pytest.raises(JournalError, match=r"of a newer version .*use that version on this host"):
            run()
        assert (values(), DROPIN.read_text(), JOURNAL.read_text()) == before


@of_each
def test_the_role_changes_nothing_there_and_rolls_back(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_own_ansible(tmp_path, monkeypatch)
    with private_host(tmp_path) as host:
        for key, value in APPLIED.items():
            host.write(Path("/proc/sys", key.replace(".", "/")), value)
        host.write(DROPIN, (version / "drop-in.conf").read_text())
        path = Path(journal_path(str(STATE), str(DROPIN)))
        host.run(
            "sh",
            "-c",
            f"umask 077; chmod 700 {STATE}; cat > '{path}'",
            input=(version / "journal.json").read_text(),
            stdin=None,
        )
        again = host.play("timewait_remediate", reserve=[20000]).passed()
        assert again.changed == 0, again.text
        back = host.play("timewait_remediate", entry="rollback").passed()
        assert back.changed == 1, back.text
        assert {key: value for key, value in host.sysctls().items() if key in BEFORE} == BEFORE
        assert host.text(DROPIN) is None

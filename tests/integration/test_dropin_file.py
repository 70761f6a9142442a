# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file is written: links, owners, groups."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError

from .dropin import CONTENT, DROPIN, REUSE, absent, contents, get, nothing_changes, present
from .inside import private


@private
def test_link_stays_a_link() -> None:
    real = Path("/etc/sysctl.d/real")
    real.write_text("# theirs\n")
    DROPIN.symlink_to("real")
    before = contents()
    result = present()
    assert (result["path"], DROPIN.readlink(), real.read_text()) == (str(real), Path("real"), CONTENT)
    assert not absent(path=str(DROPIN.with_name("unrelated.conf")))["changed"]
    assert absent()["file"] == "restored"
    assert contents() == before


@private
def test_link_that_leads_nowhere() -> None:
    DROPIN.symlink_to("real")
    before = contents()
    present()
    assert DROPIN.is_symlink()
    assert DROPIN.with_name("real").read_text() == CONTENT
    absent()
    assert contents() == before


def turn_to_other() -> None:
    DROPIN.symlink_to("other")


def replace_by_file() -> None:
    DROPIN.write_text("# theirs\n")


@pytest.mark.parametrize("becomes", [lambda: None, turn_to_other, replace_by_file], ids=["gone", "turned", "file"])
@private
def test_link_that_no_longer_leads_to_what_was_applied(becomes: Callable[[], object]) -> None:
    """The file to which it led is rolled back; what is there now is somebody else's."""
    one, other = DROPIN.with_name("one"), DROPIN.with_name("other")
    one.write_text("# one\n")
    other.write_text("# other\n")
    DROPIN.symlink_to("one")
    present()
    DROPIN.unlink()
    becomes()
    now = DROPIN.read_text() if DROPIN.exists() else None
    for check in (True, False):
        with nothing_changes(), pytest.raises(ApplyError, match=rf"led to {one} when it was applied, and leads to"):
            present(check=check)
    predicted = absent(check=True)
    done = absent()
    assert (done, done["path"], done["file"]) == (predicted, str(one), "restored")
    assert (one.read_text(), other.read_text(), get(REUSE)) == ("# one\n", "# other\n", "2")
    assert (DROPIN.read_text() if DROPIN.exists() else None) == now
    with nothing_changes():
        assert not absent()["changed"]


@private
def test_group_of_a_setgid_directory_is_not_taken_on() -> None:
    if Path("/proc/self/gid_map").read_text().split()[2] == "1":
        pytest.skip("only root has several groups")
    DROPIN.write_text("# theirs\n")
    os.chown(DROPIN.parent, 0, 4321)
    DROPIN.parent.chmod(0o2755)
    present()
    assert DROPIN.stat().st_gid == 0

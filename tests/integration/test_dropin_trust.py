# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state directory or journal that somebody else could have written is refused: it says what root restores."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.trust import (
    UntrustedError,
    check_state_directory,
)

from .dropin import JOURNAL, OTHER_CONTENT, REUSE, STATE, absent, get, nothing_changes, present, run_module
from .inside import namespaces, private

NOBODY = 65534
ELSEWHERE = STATE.parent / "elsewhere"


def give_away(path: Path) -> None:
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("only root can give files away")
    os.chown(path, NOBODY, NOBODY)


def turn_into_link(path: Path) -> None:
    path.rename(ELSEWHERE)
    path.symlink_to(ELSEWHERE)


def turn_into_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def turn_into_fifo(path: Path) -> None:
    """Reading one would wait for ever."""
    path.unlink()
    os.mkfifo(path)


NOT_SAFE = "it is not safe from others; root must own it"

# What is done to a state directory in which a journal lies, and what the error says of it.
UNSAFE: dict[str, tuple[Callable[[], object], str]] = {
    "directory of another user": (
        lambda: give_away(STATE),
        f"state_dir {STATE} has owner {NOBODY} and mode 0700, so {NOT_SAFE}, with mode 0700. ",
    ),
    "directory that all can write": (lambda: STATE.chmod(0o777), f"state_dir {STATE} has owner 0 and mode 0777, "),
    "directory that all can write, sticky": (lambda: STATE.chmod(0o1777), "has owner 0 and mode 1777, "),
    "directory that the group can write": (lambda: STATE.chmod(0o770), "has owner 0 and mode 0770, "),
    "link to the directory": (
        lambda: turn_into_link(STATE),
        f"state_dir {STATE} is a link; name the directory itself, {ELSEWHERE}",
    ),
    "directory above of another user": (
        lambda: give_away(STATE.parent),
        f"below {STATE.parent}, which has owner {NOBODY} and mode 0755, so others can replace it; root must own",
    ),
    "directory above that all can write": (
        lambda: STATE.parent.chmod(0o777),
        f"state_dir {STATE} is below {STATE.parent}, which has owner 0 and mode 0777, so others can replace it",
    ),
    "journal of another user": (
        lambda: give_away(JOURNAL),
        f"journal {JOURNAL} has owner {NOBODY} and mode 0600, so {NOT_SAFE}, with mode 0600. ",
    ),
    "journal that all can write": (lambda: JOURNAL.chmod(0o666), f"journal {JOURNAL} has owner 0 and mode 0666, "),
    "journal that the group can write": (lambda: JOURNAL.chmod(0o660), "has owner 0 and mode 0660, "),
    "link to the journal": (lambda: turn_into_link(JOURNAL), f"journal {JOURNAL} is not a regular file; move it away"),
    "directory for a journal": (lambda: turn_into_directory(JOURNAL), f"journal {JOURNAL} is not a regular file"),
    "pipe for a journal": (lambda: turn_into_fifo(JOURNAL), f"journal {JOURNAL} is not a regular file"),
}


@pytest.mark.parametrize("case", UNSAFE)
@private
def test_what_others_could_have_written_is_refused(case: str) -> None:
    spoil, message = UNSAFE[case]
    present()
    spoil()
    for check in (True, False):
        for run in (
            partial(present, OTHER_CONTENT, check=check),
            partial(absent, check=check),
            partial(run_module, check, state="confirmed", content=None),
        ):
            with nothing_changes(), pytest.raises(UntrustedError) as error:
                run()
            assert message in str(error.value)


@private
def test_state_directory_of_another_user_is_not_used_for_a_first_run() -> None:
    STATE.mkdir()
    give_away(STATE)
    for check in (True, False):
        with nothing_changes(), pytest.raises(UntrustedError, match=f"has owner {NOBODY}"):
            present(check=check)


@private
def test_state_directory_may_lie_in_a_directory_with_the_sticky_bit() -> None:
    """There nobody can replace what is not his."""
    STATE.parent.chmod(0o1777)
    present()
    absent()
    assert (get(REUSE), STATE.exists()) == ("2", False)


@private
def test_links_above_the_state_directory_are_followed_and_what_they_lead_to_is_checked() -> None:
    real, link = STATE.parent / "real", STATE.parent / "link"
    real.mkdir(mode=0o755)
    link.symlink_to(real)
    present(state_dir=str(link / "state"))
    assert (real / "state").is_dir()
    real.chmod(0o777)
    with nothing_changes(), pytest.raises(UntrustedError, match=f"is below {real}, which has"):
        absent(state_dir=str(link / "state"))


def test_without_privilege_own_directories_and_those_of_root_are_trusted(tmp_path: Path) -> None:
    """The directories above tmp_path are root's or the user's."""
    options = {"path": str(tmp_path / "a.conf"), "state_dir": str(tmp_path / "state"), "on_conflict": "ignore"}
    assert present("# nothing\n", **options)["file"] == "created"
    assert absent(**options)["file"] == "removed"
    assert not list(tmp_path.iterdir())


@private
def test_in_a_user_namespace_those_outside_may_own_what_is_above_but_not_the_state_directory() -> None:
    """They made the namespace, and the kernel shows them all as one user whom nobody inside can be."""
    STATE.mkdir(mode=0o700)
    give_away(STATE.parent)
    pid = str(os.getpid())
    assert namespaces.libc.unshare(namespaces.CLONE_NEWUSER) == 0
    Path("/proc", pid, "uid_map").write_text("0 0 1")
    assert STATE.parent.stat().st_uid == NOBODY
    check_state_directory(str(STATE))
    with pytest.raises(UntrustedError, match=f"has owner {NOBODY}"):
        check_state_directory(str(STATE.parent))

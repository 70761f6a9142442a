# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, and nobody else can hold it up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.lock import (
    LOCK_NAME,
    LockedError,
    lock_kernel,
    lock_state,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.trust import UntrustedError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sysctl

from .dropin import DROPIN, FIN, OTHER_CONTENT, RANGE, REUSE, STATE, absent, get, nothing_changes, present, run_module
from .inside import in_children, namespaces, private


@private
def test_second_run_waits_and_sees_the_work_of_the_first() -> None:
    reader, writer = os.pipe()
    pids = []
    for _run in range(2):
        pid = os.fork()
        if pid == 0:
            os.read(reader, 1)
            os._exit(10 + present()["changed"])
        pids.append(pid)
    with lock_state(str(STATE), 0, check=False):
        os.write(writer, b"go")
        time.sleep(0.3)
        assert os.waitpid(-1, os.WNOHANG) == (0, 0), "a run did not wait"
        assert not DROPIN.exists()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert sorted(codes) == [10, 11], "one changed all, the other found it done"
    absent()
    assert (get(REUSE), get(RANGE), DROPIN.exists()) == ("2", "32768 60999", False)


@private
def test_waiting_is_bounded() -> None:
    with lock_state(str(STATE), 0, check=False):
        started = time.monotonic()
        with nothing_changes(), pytest.raises(LockedError, match=rf"{STATE}/lock for more than 1 s"):
            present(lock_timeout=1)
        assert 1 <= time.monotonic() - started < 60


@pytest.mark.parametrize("check", [True, False])
@private
def test_dropins_of_other_directories_share_the_lock_with_the_state_directory(check: bool) -> None:
    """Else one removes the directory in which the other is about to write."""
    other = DROPIN.parent / "other"
    other.mkdir()
    with lock_state(str(STATE), 0, check=False), nothing_changes(), pytest.raises(LockedError):
        present(path=str(other / "other.conf"), lock_timeout=0, check=check, on_conflict="ignore")


@private
def test_many_runs_that_make_and_remove_the_state_directory() -> None:
    """Each makes it, writes its journal, and removes what it made, while others do the same in another directory."""
    directories = [DROPIN.parent / str(number) for number in range(4)]
    for directory in directories:
        directory.mkdir()

    def work(directory: Path) -> None:
        for _round in range(25):
            options = {"path": str(directory / "a.conf"), "on_conflict": "ignore", "lock_timeout": 60}
            assert present(f"{FIN} = 60\n", **options)["file"] == "created"
            assert absent(**options)["file"] == "removed"

    results = in_children([lambda directory=directory: work(directory) for directory in directories])
    assert results == [(0, "")] * len(directories)
    assert not STATE.exists()


# A user who is not root

NOBODY = 65534


@contextlib.contextmanager
def another_user_holds(mode: int) -> Iterator[list[str]]:
    """Another user holds a lock on every directory and file that he can open; these are given."""
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("only root can be somebody else")
    places = [DROPIN.parent, DROPIN, STATE.parent, STATE, *STATE.glob("*"), STATE.parent.parent, Path("/")]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        held = [str(place) for place in places if can_lock(place, mode)]
        os.write(writer, "\n".join(held).encode())
        os.close(writer)
        signal.pause()
    os.close(writer)
    try:
        with os.fdopen(reader) as stream:
            yield stream.read().splitlines()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def can_lock(place: Path, mode: int) -> bool:
    try:
        fcntl.flock(os.open(place, os.O_RDONLY), mode | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("mode", [fcntl.LOCK_SH, fcntl.LOCK_EX], ids=["shared", "exclusive"])
@pytest.mark.parametrize("state", ["missing", "open to all", "in use", "in use and open to all"])
@private
def test_no_other_user_can_delay_a_run(state: str, mode: int) -> None:
    if "in use" in state:
        present(OTHER_CONTENT)
    if "open" in state:
        STATE.mkdir(exist_ok=True)
        STATE.chmod(0o755)
    with another_user_holds(mode) as held:
        assert str(DROPIN.parent) in held
        assert (str(STATE) in held) == ("open" in state)
        assert str(STATE / LOCK_NAME) not in held
        for check in (True, False):
            assert present(check=check, lock_timeout=0, trial=True)["changed"]
        for check in (True, False):
            run_module(check, content=None, state="confirmed", lock_timeout=0)
        for check in (True, False):
            assert absent(check=check, lock_timeout=0)["changed"]


@private
def test_state_directory_that_is_open_to_all_is_closed_by_the_first_run() -> None:
    STATE.mkdir(mode=0o755)
    STATE.chmod(0o755)
    with nothing_changes():
        present(check=True)
    present()
    assert STATE.stat().st_mode & 0o7777 == 0o700
    assert (STATE / LOCK_NAME).stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("check", [True, False])
@private
def test_lock_that_others_can_open_is_refused(check: bool) -> None:
    present()
    (STATE / LOCK_NAME).chmod(0o644)
    with nothing_changes(), pytest.raises(UntrustedError, match=r"has owner 0 and mode 0644.*with mode 0600"):
        absent(check=check)


@private
def test_nothing_is_left_of_a_run_that_is_refused() -> None:
    with nothing_changes(), pytest.raises(OptionError, match="content line 1"):
        present("nonsense")
    assert not STATE.exists()


@private
def test_state_directory_stays_as_long_as_there_is_a_journal() -> None:
    other = str(DROPIN.with_name("99-zz-other.conf"))
    present(OTHER_CONTENT)
    present(f"{RANGE} = 2000 65001\n", path=other)
    absent()
    assert get(RANGE) == "2000 65001"
    assert absent(path=other)["file"] == "removed"
    assert (get(RANGE), STATE.exists()) == ("32768 60999", False)


# The running values


@pytest.mark.parametrize("check", [True, False])
@private
def test_runs_with_different_state_directories_exclude_each_other(check: bool) -> None:
    other = {"path": str(DROPIN.with_name("99-zz-other.conf")), "state_dir": str(STATE.with_name("other"))}
    with lock_kernel(0, sysctl.PROC_SYS), nothing_changes(), pytest.raises(LockedError, match="route/flush for more"):
        present(lock_timeout=0, check=check, **other)
    present(lock_timeout=0, **other)


@private
def test_other_network_namespaces_have_a_lock_of_their_own() -> None:
    with lock_kernel(0, sysctl.PROC_SYS):
        assert namespaces.libc.unshare(namespaces.CLONE_NEWNET) == 0
        present(lock_timeout=0)


@private
def test_no_other_user_can_hold_the_lock_on_the_running_values() -> None:
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("only root can be somebody else")
    lock = Path("/proc/sys/net/ipv4/route/flush")

    def body() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        for mode in (os.O_RDONLY, os.O_WRONLY):
            with pytest.raises(PermissionError):
                os.open(lock, mode)

    assert in_children([body]) == [(0, "")]

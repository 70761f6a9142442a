# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import durable_file

from .dropin import DROPIN, RANGE, REUSE, absent, get, nothing_changes, present
from .inside import private


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
    with durable_file.locked(str(DROPIN.parent), 0):
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
    with durable_file.locked(str(DROPIN.parent), 0):
        started = time.monotonic()
        with nothing_changes(), pytest.raises(durable_file.LockedError, match=r"locked for more than 1 s"):
            present(lock_timeout=1)
        assert 1 <= time.monotonic() - started < 5

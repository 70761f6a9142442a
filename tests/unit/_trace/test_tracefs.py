# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is removed of tracefs and what is not, in an ordinary directory. The kernel's part is an integration test."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.processes import started
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace import tracefs


def refusing(times: int, number: int) -> tuple[list[str], Callable[[str], None]]:
    asked: list[str] = []

    def rmdir(path: str) -> None:
        asked.append(path)
        if len(asked) <= times:
            raise OSError(number, os.strerror(number), path)

    return asked, rmdir


def test_only_instances_of_ours_whose_process_has_ended_are_removed(tmp_path: Path) -> None:
    ticks = started(os.getpid())
    kept = {f"ephemeral_ports.{os.getpid()}.{ticks}", "of_somebody", "ephemeral_ports.x.1", "ephemeral_ports", "7.7"}
    gone = {f"ephemeral_ports.{os.getpid()}.1", "ephemeral_ports.4194305.99"}
    for name in kept | gone:
        (tmp_path / name).mkdir()
    tracefs._remove_left_over(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_an_instance_in_which_somebody_reads_is_removed_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs.time, "sleep", lambda _seconds: None)
    asked, rmdir = refusing(3, errno.EBUSY)
    monkeypatch.setattr(tracefs.os, "rmdir", rmdir)
    tracefs._remove("instance")
    assert asked == ["instance"] * 4


def test_nobody_waits_for_ever_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs.time, "sleep", lambda _seconds: None)
    asked, rmdir = refusing(10**9, errno.EBUSY)
    monkeypatch.setattr(tracefs.os, "rmdir", rmdir)
    tracefs._remove("instance")
    assert 10 < len(asked) < 1000


def test_another_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _asked, rmdir = refusing(1, errno.EIO)
    monkeypatch.setattr(tracefs.os, "rmdir", rmdir)
    with pytest.raises(OSError, match="Input/output error"):
        tracefs._remove("instance")


@pytest.mark.parametrize(
    ("number", "uid", "why"),
    [
        (errno.EPERM, 1000, "only root may trace"),
        (errno.EACCES, 0, "root may not trace here"),
        (errno.EROFS, 0, "root may not trace here"),
        (errno.ENODEV, 0, "this kernel has no tracefs"),
    ],
)
def test_refusals_are_sentences(number: int, uid: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs.os, "geteuid", lambda: uid)
    with pytest.raises(tracefs.UnsupportedError, match=why), tracefs._refusals_in_words():
        raise OSError(number, os.strerror(number))

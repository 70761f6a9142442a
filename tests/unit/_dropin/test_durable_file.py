# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files keep owner, mode and context, and nobody can slip another file in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import Error
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import durable_file
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.durable_file import FileState


def state(content: bytes, mode: int = 0o644, context: bytes | None = None) -> FileState:
    return FileState(content, mode, os.geteuid(), os.getegid(), context)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o4755])
def test_mode_does_not_depend_on_the_umask(tmp_path: Path, mode: int) -> None:
    path = str(tmp_path / "file")
    before = os.umask(0o077)
    try:
        durable_file.write(path, state(b"x", mode))
    finally:
        os.umask(before)
    assert durable_file.read(path) == state(b"x", mode)


def test_context_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an attribute that every user may set, in place of SELinux's."""
    monkeypatch.setattr(durable_file, "_SELINUX", "user.selinux")
    path = str(tmp_path / "file")
    try:
        os.setxattr(tmp_path, "user.selinux", b"probe")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    durable_file.write(path, state(b"x", context=b"etc_t\0"))
    assert durable_file.read(path) == state(b"x", context=b"etc_t\0")


def test_what_lies_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    path, victim = tmp_path / "file", tmp_path / "victim"
    victim.write_text("safe")
    for prepare in (os.symlink, os.link):
        prepare(victim, durable_file.temporary_path(str(path)))
        durable_file.write(str(path), state(b"new"))
        assert (victim.read_text(), path.read_text()) == ("safe", "new")


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"full: '{path}'"):
        durable_file.write(str(path), state(b"new"))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]


def test_only_files_are_files(tmp_path: Path) -> None:
    assert durable_file.read(str(tmp_path / "missing")) is None
    with pytest.raises(Error, match="is not a regular file"):
        durable_file.read(str(tmp_path))
    with pytest.raises(Error, match="is not a regular file"):
        durable_file.read(os.devnull)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network namespaces there are, from a /proc that is made here. That they can be entered, the kernel shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import NamespaceError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace, Others

MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
24 22 0:4 net:[4026532177] /run/netns/blue rw shared:9 - nsfs nsfs rw
25 22 0:4 net:[4026532300] /run/my\\040netns/a\\134b rw - nsfs nsfs rw
26 22 0:4 mnt:[4026532301] /run/snapd/ns/lxd.mnt rw - nsfs nsfs rw
"""


class Proc:
    """A /proc with the process that reads it, in a namespace of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "self/ns").mkdir(parents=True)
        (root / "self/ns/net").touch()
        (root / "self/mountinfo").write_text("")

    def process(self, pid: int, inode: int | None, started: int = 0, name: str = "sh") -> None:
        """inode: None for a process that has ended meanwhile."""
        directory = self.root / str(pid)
        (directory / "ns").mkdir(parents=True)
        if inode is not None:
            (directory / "ns/net").symlink_to(f"net:[{inode}]")
        (directory / "stat").write_text(f"{pid} ({name}) S {' '.join(['0'] * 18)} {started} 0 0\n")

    def others(self) -> list[Namespace]:
        return namespaces.find_others(str(self.root))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_the_own_namespace_is_none_of_the_others(proc: Proc) -> None:
    proc.process(1, namespaces.own_inode(str(proc.root)))
    assert proc.others() == []


def test_by_process_the_oldest_of_each(proc: Proc) -> None:
    proc.process(30, 7, started=500)
    proc.process(40, 7, started=400)
    proc.process(50, 8, started=100)
    assert proc.others() == [Namespace(7, None, 40), Namespace(8, None, 50)]


def test_a_name_of_a_process_can_hold_anything(proc: Proc) -> None:
    proc.process(30, 7, started=500, name="a) S 0 0 (b")
    proc.process(40, 7, started=400)
    assert proc.others() == [Namespace(7, None, 40)]


def test_a_process_that_ends_meanwhile_is_passed_over(proc: Proc) -> None:
    proc.process(30, None)
    proc.process(40, 7)
    (proc.root / "40/stat").unlink()
    assert proc.others() == [Namespace(7, None, 40)]


def test_by_mount_wherever_it_is(proc: Proc) -> None:
    (proc.root / "self/mountinfo").write_text(MOUNTINFO)
    proc.process(30, 4026532300)
    assert proc.others() == [
        Namespace(4026532177, "/run/netns/blue", None),
        Namespace(4026532300, "/run/my netns/a\\b", 30),
    ]


def test_how_many_there_are_is_told_without_saying_which(proc: Proc) -> None:
    (proc.root / "self/mountinfo").write_text(MOUNTINFO)
    for pid, inode in enumerate([namespaces.own_inode(str(proc.root)), 7, 7, 4026532300, None]):
        proc.process(pid, inode)
    assert namespaces.count_others(str(proc.root)) == Others(3, untold=0, unread=0)


def test_of_many_processes_the_newest_are_read(proc: Proc) -> None:
    (proc.root / "self/mountinfo").write_text(MOUNTINFO)
    for pid in range(100):
        proc.process(pid, pid + 1000)
    proc.process(200, 1005)
    assert namespaces.count_others(str(proc.root), 11) == Others(2 + 11, untold=0, unread=90)


def test_processes_that_do_not_tell_are_counted(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(path)

    proc.process(30, 7)
    monkeypatch.setattr(namespaces.os, "readlink", refuse)
    assert namespaces.count_others(str(proc.root)) == Others(0, untold=1, unread=0)


@pytest.mark.parametrize("path", ["/nowhere/at/all", os.devnull])
def test_a_namespace_that_has_ended_is_said_to_have(path: str) -> None:
    """Also where something else has its place."""
    home = namespaces.own_inode()
    with pytest.raises(NamespaceError, match="it has ended") as error, namespaces.inside(Namespace(1, path, None)):
        pass
    assert error.value.ended
    assert namespaces.own_inode() == home

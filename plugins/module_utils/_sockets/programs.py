# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes have these sockets open, by the links in /proc/PID/fd.

That costs 5 us for each file that any process has open, so it ends with the last socket found, or at a deadline. Files
of other users' processes are only root's to see.
"""

import contextlib
import os
import time
from typing import AbstractSet, Dict, Iterator, List

from .._kernel.counters import PROC
from .._kernel.processes import list_pids


def find_holders(inodes: AbstractSet[int], deadline: float, proc: str = PROC) -> Dict[int, int]:
    """The process that has each socket, as far as found. Those of this network namespace are searched first.

    deadline: as time.monotonic() tells it.
    """
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: Dict[int, int] = {}
    for pid in _here_first(proc) if wanted else ():
        for path in _files(pid, proc):
            if len(found) == len(wanted) or time.monotonic() >= deadline:
                return found
            inode = wanted.get(_target(path))
            if inode is not None:
                found.setdefault(inode, pid)
    return found


def _files(pid: int, proc: str) -> Iterator[str]:
    """None of a process that has ended, or is somebody else's."""
    with contextlib.suppress(OSError), os.scandir(f"{proc}/{pid}/fd") as files:
        for file in files:
            yield file.path


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""


def _here_first(proc: str) -> List[int]:
    own = _target(f"{proc}/self/ns/net")
    every = list_pids(proc)
    here = {pid for pid in every if _target(f"{proc}/{pid}/ns/net") == own}
    return sorted(every, key=lambda pid: (pid not in here, pid))

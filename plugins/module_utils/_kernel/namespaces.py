# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network namespaces of a host: which there are, and how to be in one for a while (network_namespaces(7)).

Each is known by the inode of its file in nsfs. Found are those that a process is in, and those that are mounted
somewhere, as those of ip-netns(8), CNI and container engines are. One that only an open file or socket keeps is not.
"""

import contextlib
import functools
import os
import re
import socket
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._common.errors import NamespaceError
from .counters import PROC
from .processes import list_pids, started

_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71
_LINK = re.compile(r"net:\[(\d+)]\Z")
# A character of a path in mountinfo that is written as its number: blank, tab, newline, backslash (proc(5)).
_OCTAL = re.compile(r"\\([0-7]{3})")
# Counting takes some 4 us for each process.
MOST_COUNTED = 1000

# What those who ask call the one that they are in.
OWN = "own"


class Namespace(NamedTuple):
    """A network namespace. inode: None where only its /proc/PID/net may be read, and not which namespace that is.

    mount: where it is mounted, if it is. pid: the oldest process in it, if there is one.
    """

    inode: Optional[int]
    mount: Optional[str]
    pid: Optional[int]

    def path(self, proc: str = PROC) -> str:
        return self.mount or f"{proc}/{self.pid}/ns/net"


class Others(NamedTuple):
    """How many network namespaces there are beside one's own, as far as was read.

    untold: processes that do not tell theirs, for want of privilege. unread: those that were too many to read.
    """

    number: int
    untold: int
    unread: int


NONE = Others(0, 0, 0)


def own_inode(proc: str = PROC) -> int:
    return os.stat(f"{proc}/self/ns/net").st_ino


def find_others(proc: str = PROC) -> List[Namespace]:
    """All but the one of this process, by inode; then those without one, by process."""
    mounts = dict(_mounted(proc))
    members, hidden = _by_process(proc)
    own = own_inode(proc)
    inodes = sorted((set(mounts) | set(members)) - {own})
    found = [Namespace(inode, mounts.get(inode), _oldest(members.get(inode, []), proc)) for inode in inodes]
    return found + [Namespace(None, None, _oldest(pids, proc)) for pids in hidden]


def count_others(proc: str = PROC, most: int = MOST_COUNTED) -> Others:
    """As find_others() finds, without telling which they are, and from so many processes at most, the newest."""
    try:
        own, inodes = own_inode(proc), {inode for inode, _path in _mounted(proc)}
    except OSError:  # a sandbox that hides its own
        return Others(0, 1, 0)
    every = sorted(list_pids(proc))
    read, untold = every[-most:], 0
    for pid in read:
        inode = _inode(pid, proc)
        if inode is None:
            untold += 1
        elif inode:
            inodes.add(inode)
    return Others(len(inodes - {own}), untold, len(every) - len(read))


@contextlib.contextmanager
def inside(namespace: Namespace, proc: str = PROC) -> Iterator[None]:
    """Let this thread be in a namespace. Raises NamespaceError where it has ended or may not be entered."""
    with held(namespace, proc) as descriptor, within(descriptor, proc):
        yield


@contextlib.contextmanager
def held(namespace: Namespace, proc: str = PROC) -> Iterator[int]:
    """Keep a namespace: until this ends, neither does the namespace, nor is its inode that of another one.

    Raises NamespaceError where it has ended or may not be opened.
    """
    try:
        descriptor = os.open(namespace.path(proc), os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NamespaceError("it has ended", ended=True) from error
    except OSError as error:
        raise NamespaceError(error.strerror or str(error), ended=False) from error
    try:
        # The process may have ended, and its number may be that of another one now.
        if os.fstat(descriptor).st_ino != namespace.inode:
            raise NamespaceError("it has ended", ended=True)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def within(descriptor: int, proc: str = PROC) -> Iterator[None]:
    """Let this thread be in a namespace that is held. Raises NamespaceError where it may not be entered.

    /proc/net and /proc/sys/net show that of the main thread, so use this in no other.
    """
    home = os.open(f"{proc}/self/ns/net", os.O_RDONLY)
    try:
        try:
            _setns(descriptor)
        except OSError as error:
            raise NamespaceError(error.strerror or str(error), ended=False) from error
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def cookie() -> Optional[int]:
    """What tells this thread's namespace from all others since the boot. None before Linux 5.14."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        return int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    return None


def _setns(descriptor: int) -> None:
    ctypes, libc = _libc()
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.lru_cache(maxsize=None)
def _libc() -> Tuple[Any, Any]:
    import ctypes  # here, because it takes longer to load than all of a healthy host takes to observe

    return ctypes, ctypes.CDLL(None, use_errno=True)


def _mounted(proc: str) -> Iterator[Tuple[int, str]]:
    """Inode and path of each namespace that is mounted where this process sees it."""
    with open(f"{proc}/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            root, path = line.split(" ", 5)[3:5]
            link = _LINK.match(root)
            if link:
                yield int(link.group(1)), _OCTAL.sub(lambda octal: chr(int(octal.group(1), 8)), path)


def _by_process(proc: str) -> Tuple[Dict[int, List[int]], List[List[int]]]:
    """Processes by the inode of their namespace; and those of each namespace that is not told, for want of privilege.

    The latter are told apart by the inode of a file that all processes of a namespace share.
    """
    members: Dict[int, List[int]] = {}
    refused: List[int] = []
    for pid in list_pids(proc):
        inode = _inode(pid, proc)
        if inode is None:
            refused.append(pid)
        elif inode:
            members.setdefault(inode, []).append(pid)
    hidden: Dict[int, List[int]] = {}
    for pid in refused:
        with contextlib.suppress(OSError):
            hidden.setdefault(_file_inode(pid, proc), []).append(pid)
    if hidden:
        for pids in [[os.getpid()], *members.values()]:
            with contextlib.suppress(OSError):
                hidden.pop(_file_inode(pids[0], proc), None)
    return members, list(hidden.values())


def _inode(pid: int, proc: str) -> Optional[int]:
    """Of the namespace of a process: 0 where it has ended, None where it may not be told."""
    try:
        link = _LINK.match(os.readlink(f"{proc}/{pid}/ns/net"))
    except PermissionError:
        return None
    except OSError:
        return 0
    return int(link.group(1)) if link else 0


def _file_inode(pid: int, proc: str) -> int:
    return os.stat(f"{proc}/{pid}/net/sockstat").st_ino


def _oldest(pids: List[int], proc: str) -> Optional[int]:
    """Those that have ended come last."""

    def age(pid: int) -> Tuple[float, int]:
        ticks = started(pid, proc)
        return (float("inf") if ticks is None else ticks), pid

    return min(pids, key=age, default=None)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody but root, or whoever runs this, can have made or changed what a rollback will write.

A journal says which file and which values are restored, so whoever can write it, or replace a directory on the way to
it, could have root write anything.
"""

import os
import stat
from typing import FrozenSet, Optional

from .._common.errors import Error
from .durable_file import naming

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OVERFLOW_UID, _UID_MAP = "/proc/sys/kernel/overflowuid", "/proc/self/uid_map"


class UntrustedError(Error):
    """Somebody else could have written the journal; the text says where, and what would be right."""


def check_state_directory(path: str) -> None:
    """Raises UntrustedError for a state directory that others can write or replace. It need not exist yet."""
    above = os.path.realpath(os.path.dirname(path))
    while above != "/":
        _check_above(path, above)
        above = os.path.dirname(above)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise UntrustedError(f"state_dir {path} is a link; name the directory itself, {os.path.realpath(path)}")
    if not stat.S_ISDIR(status.st_mode):
        raise UntrustedError(f"state_dir {path} is not a directory")
    _check_owner_and_mode(f"state_dir {path}", status, "0700", _OTHERS_WRITE)


def check_file(what: str, path: str, private: bool = False) -> None:
    """Raises UntrustedError for a file in a state directory that others can write. It need not exist.

    private: nor may others read it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedError(f"{what} {path} is not a regular file; move it away")
    _check_owner_and_mode(f"{what} {path}", status, "0600", 0o077 if private else _OTHERS_WRITE)


def _check_above(path: str, above: str) -> None:
    """In a directory with the sticky bit, such as /tmp, others cannot replace what is not theirs."""
    status = os.stat(above)
    is_replaceable = status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX
    is_trusted = status.st_uid in _trusted_owners() or status.st_uid == _outside_owner()
    if is_replaceable or not is_trusted:
        raise UntrustedError(
            f"state_dir {path} is below {above}, which has owner {status.st_uid} and mode "
            f"{stat.S_IMODE(status.st_mode):04o}, so others can replace it; {_who()} must own {above}, with a mode "
            "such as 0755, or choose another state_dir"
        )


def _check_owner_and_mode(what: str, status: os.stat_result, right_mode: str, forbidden: int) -> None:
    if status.st_mode & forbidden or status.st_uid not in _trusted_owners():
        raise UntrustedError(
            f"{what} has owner {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}, so it is not safe from "
            f"others; {_who()} must own it, with mode {right_mode}. If you do not know what others have done with it, "
            "move it away"
        )


def _who() -> str:
    return " or ".join("root" if uid == 0 else f"uid {uid}" for uid in sorted(_trusted_owners()))


def _trusted_owners() -> FrozenSet[int]:
    return frozenset((0, os.geteuid()))


def _outside_owner() -> Optional[int]:
    """In a user namespace: the uid that the kernel shows for owners outside of it, unless somebody inside has it.

    Whoever made the namespace has chosen its directories, so these owners are trusted with what is above ours.
    """
    try:
        with naming(_OVERFLOW_UID), open(_OVERFLOW_UID, "rb") as stream:
            overflow = int(stream.read())
        with naming(_UID_MAP), open(_UID_MAP, "rb") as stream:
            ranges = [[int(word) for word in line.split()] for line in stream]
    except FileNotFoundError:  # without user namespaces
        return None
    is_inside = any(first <= overflow < first + count for first, _outside, count in ranges)
    return None if is_inside else overflow

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are either old or new, whatever happens in between."""

import contextlib
import errno
import os
import stat
from typing import Iterator, NamedTuple, Optional, Union

from .._common.errors import Error

_SELINUX = "security.selinux"


class FileState(NamedTuple):
    """A regular file: its bytes, permission bits, owner, and SELinux context where there is one."""

    content: bytes
    mode: int
    uid: int
    gid: int
    context: Optional[bytes]


def read(path: str) -> Optional[FileState]:
    """The state of a file, None where there is none. Raises OSError, or Error where it is not a regular file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise Error(f"{path} is not a regular file")
    with naming(path), open(path, "rb") as stream:
        content = stream.read()
    return FileState(content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, _read_context(path))


def write(path: str, state: FileState) -> None:
    """Replace a file in one step, or create it; it is on the disk when this returns. Raises OSError."""
    temporary = temporary_path(path)
    remove(temporary)
    try:
        with naming(path):
            _create(temporary, state)
            os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _create(path: str, state: FileState) -> None:
    """Write a file that does not exist yet, so that nobody else has prepared or opened it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        data = state.content
        while data:
            data = data[os.write(descriptor, data) :]
        status = os.fstat(descriptor)
        if (state.uid, state.gid) != (status.st_uid, status.st_gid):
            os.fchown(descriptor, state.uid, state.gid)
        os.fchmod(descriptor, state.mode)
        if state.context is not None and state.context != _read_context(descriptor):
            os.setxattr(descriptor, _SELINUX, state.context)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove a file; it is gone from the disk when this returns. No file is no error, on a read-only disk either."""
    if os.path.lexists(path):
        os.unlink(path)
        sync_directory(os.path.dirname(path))


def make_directory(path: str, mode: int) -> None:
    """Make a directory unless it exists; it is on the disk when this returns."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        sync_directory(os.path.dirname(path))


def temporary_path(path: str) -> str:
    """Where write() prepares a file: beside it, under one fixed name, so that what a crash leaves can be found.

    The name does not end in .conf, so no loader ever reads it.
    """
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")


def sync_directory(path: str) -> None:
    with naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """An error of a call that takes a descriptor names the file, as those of calls that take a path do."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


def _read_context(path: Union[str, int]) -> Optional[bytes]:
    """The SELinux context of a file or file descriptor, None where there is none."""
    try:
        return os.getxattr(path, _SELINUX) or None
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time for all drop-ins that share a state directory, and for all that set the same running values.

Each lock is on a file that only root, or who made it, can open, and so no other user can hold it. It goes with the
process, however that ends. That of a state directory is a file in it, which goes when the last journal goes, and the
directory with it.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import Iterator, Optional

from .._common.errors import Error
from .._kernel import sysctl
from . import durable_file
from .trust import check_file, check_state_directory

LOCK_NAME = "lock"

_DIRECTORY_MODE = 0o700
_LOCK_MODE = 0o600
_POLL_S = 0.05
_ONLY_WRITES = "net.ipv4.route.flush"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class LockedError(Error):
    """Another run held the lock for too long."""


@contextlib.contextmanager
def lock_state(directory: str, timeout_s: float, check: bool) -> Iterator[None]:
    """Hold the lock of a state directory that is made for it. Raises LockedError, UntrustedError or OSError.

    In check mode nothing is made: without a lock file no run is under way. Nor is anything locked where the directory
    cannot be written; nothing can be changed there, and preflight says so.
    """
    descriptor = _acquire(directory, timeout_s, check)
    try:
        if descriptor is not None and not check:
            _tighten(directory)
        yield
    finally:
        if descriptor is not None:
            if not check:
                _remove_if_unused(directory)
            os.close(descriptor)


@contextlib.contextmanager
def lock_kernel(timeout_s: float, root: str) -> Iterator[None]:
    """Hold the lock on the running values of this network namespace, whatever state directory others use.

    It is on a sysctl that only takes writes, so that only who may set sysctls can open it; nothing is written. Each
    network namespace has one of its own, and nothing is left behind. Where it cannot be opened, nothing can be set
    either, or the kernel is an old one in a user namespace; then nothing is locked. Raises LockedError or OSError.
    """
    path = sysctl.path_of(_ONLY_WRITES, root)
    descriptor = None
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError as error:
        if error.errno not in (errno.ENOENT, *_NOT_WRITABLE):
            raise
    try:
        if descriptor is not None:
            _wait(descriptor, path, timeout_s)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _acquire(directory: str, timeout_s: float, check: bool) -> Optional[int]:
    """A descriptor that holds the lock, None where there is nothing to lock."""
    path = os.path.join(directory, LOCK_NAME)
    deadline = time.monotonic() + timeout_s
    while True:
        descriptor = _open(path, check)
        if descriptor is None:
            return None
        try:
            _wait(descriptor, path, timeout_s, deadline)
            if _is_current(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the run that held it has removed it; lock its successor


def _open(path: str, check: bool) -> Optional[int]:
    directory = os.path.dirname(path)
    while True:
        check_state_directory(directory)
        try:
            if not check:
                durable_file.make_directory(directory, _DIRECTORY_MODE)
                check_state_directory(directory)  # somebody else may have been faster
            check_file("lock", path, private=True)
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | (0 if check else os.O_CREAT), _LOCK_MODE)
        except FileNotFoundError:
            if check:
                return None
            # another run has just removed the directory
        except OSError as error:
            if error.errno in _NOT_WRITABLE:
                return None
            raise


def _wait(descriptor: int, path: str, timeout_s: float, deadline: Optional[float] = None) -> None:
    deadline = time.monotonic() + timeout_s if deadline is None else deadline
    while not _try_lock(descriptor, path):
        if time.monotonic() >= deadline:
            raise LockedError(f"another run has held the lock {path} for more than {timeout_s:g} s")
        time.sleep(_POLL_S)


def _try_lock(descriptor: int, path: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    return True


def _is_current(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _tighten(directory: str) -> None:
    """Nobody else needs to see into it; where that cannot be changed, lock and journals are still closed to them."""
    with contextlib.suppress(OSError):
        if os.stat(directory).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.chmod(directory, _DIRECTORY_MODE)


def _remove_if_unused(directory: str) -> None:
    """A directory that is left over harms nobody, so no error matters here."""
    with contextlib.suppress(OSError):
        if os.listdir(directory) == [LOCK_NAME]:
            os.unlink(os.path.join(directory, LOCK_NAME))
            os.rmdir(directory)  # unless the next run has already begun

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance of tracefs: buffers and an event of its own, which nobody else who traces on this host is aware of.

It is removed whatever happens, also at SIGTERM. Of a run that was killed the kernel switches it off (disable_on_free)
and frees its buffers, as their file is closed; the next run removes the rest. That of a living run cannot be removed:
it bears the process in its name, and the kernel refuses while its files are open.
"""

import contextlib
import ctypes
import errno
import os
import signal
import time
from typing import Callable, Iterator, List

from .._common.errors import UnsupportedError
from .._kernel.processes import started

_MOUNTED = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_CLONE_NEWNS, _MS_REC, _MS_SLAVE = 0x00020000, 0x4000, 0x80000
_PREFIX = "ephemeral_ports."

# Of all processors together, in kB, and the bounds of one; the kernel's default is 1,408 for each.
_BUFFERS_KB, _LEAST_KB, _MOST_KB = 32768, 64, 1024

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PAUSE_S = 0.01  # in which a program that has just called connect() is still there to be asked for its owner
_PIECE = 65536
_TURNS = 100


@contextlib.contextmanager
def instance(group: str, name: str, only: str) -> Iterator["Pipe"]:
    """Trace one event, as far as a filter lets it through. Raises UnsupportedError where this host does not let us."""
    with _refusals_in_words(), _signals_as_exceptions():
        top = f"{_find()}/instances"
        _remove_left_over(top)
        own = f"{top}/{_PREFIX}{os.getpid()}.{started(os.getpid())}"
        os.mkdir(own)
        opened: List[int] = []
        try:
            opened.append(os.open(f"{own}/free_buffer", os.O_WRONLY))
            with contextlib.suppress(OSError):
                _write(f"{own}/options/disable_on_free", "1")
            _write(f"{own}/buffer_size_kb", str(max(_LEAST_KB, min(_MOST_KB, _BUFFERS_KB // (os.cpu_count() or 1)))))
            event = f"{own}/events/{group}/{name}"
            if not os.path.isdir(event):
                raise UnsupportedError(f"this kernel has no tracepoint {group}:{name}")
            _write(f"{event}/filter", only)
            opened.append(os.open(f"{own}/trace_pipe", os.O_RDONLY | os.O_NONBLOCK))
            _write(f"{event}/enable", "1")
            yield Pipe(opened[-1], lambda: _write(f"{own}/tracing_on", "0"))
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            for descriptor in reversed(opened):
                os.close(descriptor)
            _remove(own)


class Pipe:
    """The lines of an instance, as they come."""

    def __init__(self, descriptor: int, stop: Callable[[], None]) -> None:
        self._descriptor, self._stop = descriptor, stop
        self._rest = b""

    def lines(self, seconds: float) -> Iterator[str]:
        """Those of that time, then what is left in the buffers."""
        deadline = time.monotonic() + seconds
        stopped = False
        while True:
            if not stopped and time.monotonic() >= deadline:
                self._stop()
                stopped = True
            piece = self._read()
            if piece:
                *whole, self._rest = (self._rest + piece).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace")
            elif stopped:
                return
            else:
                time.sleep(max(0.0, min(_PAUSE_S, deadline - time.monotonic())))

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return b""


def _find() -> str:
    """Where tracefs is, mounted where only this process sees it if it is not."""
    for place in _MOUNTED:
        if os.path.isdir(f"{place}/instances"):
            return place
    if not os.path.isdir(_MOUNTED[0]):
        raise UnsupportedError("this kernel has no tracefs")
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None))
    _check(libc.mount(b"tracefs", _MOUNTED[0].encode(), b"tracefs", ctypes.c_ulong(0), None))
    return _MOUNTED[0]


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _remove_left_over(top: str) -> None:
    for name in os.listdir(top):
        pid, _dot, ticks = name[len(_PREFIX) :].partition(".")
        if name.startswith(_PREFIX) and pid.isdigit() and str(started(int(pid))) != ticks:
            with contextlib.suppress(OSError):
                os.rmdir(f"{top}/{name}")


def _remove(own: str) -> None:
    """The kernel refuses while anybody reads in it, as a search through all files does. Else the next run does it."""
    for _turn in range(_TURNS):
        try:
            os.rmdir(own)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        time.sleep(_PAUSE_S)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise UnsupportedError("this kernel has no tracefs") from error
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise
        if os.geteuid():
            raise UnsupportedError("only root may trace (become: true)") from error
        raise UnsupportedError("root may not trace here, as in a container or where the kernel is locked") from error


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """What would end this process ends it by SystemExit, so that nothing stays behind."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = [(number, signal.signal(number, leave)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disturb a system call of a child process: before each call of one number, the kernel asks this process.

strace does it, too, but has to be started for each fault, and stops the child at each call of any number. See
seccomp_unotify(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

libc = ctypes.CDLL(None, use_errno=True)

SYS_SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SET_MODE_FILTER, NEW_LISTENER = 1, 8
RECEIVE, SEND = 0xC0502100, 0xC0182101

# A filter: load the number of the call; if it is the one, ask, else allow.
INSTRUCTION = struct.Struct("=HBBI")
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ASK, ALLOW = 0x7FC00000, 0x7FFF0000

# id, process, flags; number, architecture, instruction pointer, six arguments.
QUESTION = struct.Struct("=QII iIQ 6Q")
# id, value, error, flags.
ANSWER = struct.Struct("=QqiI")
CONTINUE = 1


class Disturbance(NamedTuple):
    """Of the first-th call of this number, and with `stays` of all later ones. error: none to kill, before the call."""

    number: int
    first: int
    error: int | None
    stays: bool = False


class Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def run_disturbed(body: Callable[[], int], disturbance: Disturbance) -> tuple[int, tuple[str | None, ...] | None]:
    """Run a function in a child: its exit code (negative: signal); and what the first two arguments of the disturbed
    call point to, as text, None where that is no path. None if there was no such call.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            gc.disable()  # it would close files of the test run's garbage, in some runs and not in others
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            socket.send_fds(theirs, [b"-"], [_ask_before(disturbance.number)])
            code = body()
        finally:
            os._exit(code)
    theirs.close()
    with ours:
        _byte, listeners, *_rest = socket.recv_fds(ours, 1, 1)
    assert listeners, "seccomp(2) does not let this process ask"
    met = _answer(listeners[0], pid, disturbance)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), met


def _ask_before(number: int) -> int:
    """From now on in this process; the descriptor by which another answers."""
    steps = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ASK), (RETURN, 0, 0, ALLOW)]
    program = Filter(len(steps), b"".join(INSTRUCTION.pack(*step) for step in steps))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener: int = libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _answer(listener: int, pid: int, disturbance: Disturbance) -> tuple[str | None, ...] | None:
    """Until the child has ended or is killed."""
    met, count = None, 0
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    question = bytearray(QUESTION.size)
    while poll.poll()[0][1] & select.POLLIN:
        question[:] = bytes(QUESTION.size)
        fcntl.ioctl(listener, RECEIVE, question)
        asked, _pid, _flags, _number, _architecture, _at, *arguments = QUESTION.unpack(question)
        count += 1
        error, flags = 0, CONTINUE
        if count == disturbance.first or (disturbance.stays and count > disturbance.first):
            met = met or tuple(_text_at(pid, address) for address in arguments[:2])
            if disturbance.error is None:
                os.kill(pid, signal.SIGKILL)
                break
            error, flags = -disturbance.error, 0
        fcntl.ioctl(listener, SEND, ANSWER.pack(asked, 0, error, flags))
    os.close(listener)
    return met


def _text_at(pid: int, address: int) -> str | None:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        try:
            memory.seek(address)
            return memory.read(4096).partition(b"\0")[0].decode()
        except (OSError, OverflowError, ValueError):
            return None

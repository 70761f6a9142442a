# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs of a host connect to where, in all network namespaces, and whose connects find no local port."""

import os
import socket
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .._common.errors import OptionError, UnsupportedError
from .._kernel.counters import PROC
from .._sockets.owners import Files, owner_of, read_file
from . import tracefs
from .events import FILTER, GROUP, NAME, Lost, parse_line

LONGEST_S = 300.0
MAX_USERS = 1000
# Reading an event costs some microseconds; a pair of task and destination some hundred bytes.
MAX_EVENTS = 200000
_MAX_PAIRS = 20000
# include/linux/proc_ns.h: numbers of tasks in events are those of the initial PID namespace.
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"

CHECK_MODE = "nothing is traced in check mode"

Pair = Tuple["Program", bytes, int]


class Program(NamedTuple):
    """name: of the process, or of the task where it had ended. owner, namespace: None where that could not be told."""

    pid: int
    name: str
    owner: Optional[str]
    namespace: Optional[int]


class Count:
    __slots__ = ("connects", "no_port")

    def __init__(self) -> None:
        self.connects = self.no_port = 0


class Counts:
    """Bounded, whatever happens on the host. lost: connects that nothing more is known of.

    within: inodes of the network namespaces that count; empty means all.
    """

    def __init__(self, within: Iterable[int] = ()) -> None:
        self.pairs: Dict[Pair, Count] = {}
        self.events = self.connects = self.no_port = self.lost = 0
        self._within = frozenset(within)
        self._programs: Dict[Tuple[int, str], Program] = {}
        self._files = Files()

    @property
    def full(self) -> bool:
        return self.events >= MAX_EVENTS

    def take(self, line: str, proc: str = PROC) -> None:
        event = parse_line(line)
        if event is None:
            return
        if isinstance(event, Lost):
            self.lost += event.number
            return
        self.events += 1
        task = event.tid, event.task
        program = self._programs.get(task)
        if program is None and len(self._programs) < _MAX_PAIRS:
            program = self._programs[task] = find_program(event.tid, event.task, self._files, proc)
        if self._within and program is not None and program.namespace not in self._within:
            return
        self.no_port += event.failed
        self.connects += not event.failed
        if program is None:
            self.lost += 1
            return
        pair = program, event.address, event.port
        count = self.pairs.get(pair)
        if count is None:
            if len(self.pairs) >= _MAX_PAIRS:
                self.lost += 1
                return
            count = self.pairs[pair] = Count()
        count.no_port += event.failed
        count.connects += not event.failed


def observe_users(seconds: float, max_users: int, check_mode: bool, namespaces: Iterable[int] = ()) -> Dict[str, Any]:
    """The result of the module. Raises OptionError."""
    if not 0 < seconds <= LONGEST_S:
        name = "seconds (timewait_diagnose_who)"
        raise OptionError(f"{name} must be more than 0 and at most {LONGEST_S:g}, not {seconds:g}")
    if not 1 <= max_users <= MAX_USERS:
        raise OptionError(f"max_users must be between 1 and {MAX_USERS}, not {max_users}")
    if check_mode:
        return describe(Counts(), 0.0, max_users, CHECK_MODE)
    counts = Counts(namespaces)
    try:
        with tracefs.instance(GROUP, NAME, FILTER) as pipe:
            began = time.monotonic()
            _count(pipe.lines(seconds), counts)
            took = min(seconds, time.monotonic() - began)
    except UnsupportedError as error:
        return describe(Counts(), 0.0, max_users, str(error))
    return describe(counts, took, max_users)


def _count(lines: Iterable[str], counts: Counts) -> None:
    for line in lines:
        counts.take(line)
        if counts.full:
            return


def describe(counts: Counts, seconds: float, max_users: int, why_not: Optional[str] = None) -> Dict[str, Any]:
    users = _users(counts, seconds)
    return {
        "kind": "users",
        "traced": why_not is None,
        "why_not": why_not,
        "seconds": round(seconds, 3),
        "complete": not (counts.full or counts.lost),
        "lost": counts.lost,
        "connects": counts.connects,
        "no_port": counts.no_port,
        "users_found": len(users),
        "users": users[:max_users],
    }


def _users(counts: Counts, seconds: float) -> List[Dict[str, Any]]:
    """Processes of one program, owner and namespace are one user; those whose connects fail come first."""
    grouped: Dict[Tuple[Any, ...], Tuple[Count, Dict[int, int]]] = {}
    for (program, address, port), count in counts.pairs.items():
        total, pids = grouped.setdefault((*program[1:], address, port), (Count(), {}))
        total.connects += count.connects
        total.no_port += count.no_port
        pids[program.pid] = pids.get(program.pid, 0) + count.connects + count.no_port
    users = [
        {
            "program": name,
            "owner": owner,
            "namespace": namespace,
            "pid": max(pids, key=lambda pid: (pids[pid], -pid)),
            "processes": len(pids),
            "address": socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address),
            "port": port,
            "connects": count.connects,
            "no_port": count.no_port,
            "rate": round(count.connects / seconds, 1) if seconds else 0.0,
        }
        for (name, owner, namespace, address, port), (count, pids) in grouped.items()
    ]
    return sorted(users, key=lambda user: (-user["no_port"], -user["connects"], user["program"], user["address"]))


def find_program(tid: int, task: str, files: Files, proc: str = PROC) -> Program:
    """Whose connect() that was, asked while the task is there."""
    unknown = Program(tid, task, None, None)
    try:
        if os.readlink(f"{proc}/self/ns/pid") != _INITIAL_PID_NAMESPACE:
            return unknown
        pid = _process_of(read_file(f"{proc}/{tid}/status")) or tid
        name = read_file(f"{proc}/{pid}/comm").rstrip("\n")
        owner = owner_of(read_file(f"{proc}/{tid}/cgroup"), files)
        namespace = os.stat(f"{proc}/{tid}/ns/net").st_ino
    except OSError:
        return unknown
    return Program(pid, name, str(owner) if owner else None, namespace)


def _process_of(status: str) -> Optional[int]:
    for line in status.splitlines():
        if line.startswith("Tgid:"):
            return int(line[5:])
    return None

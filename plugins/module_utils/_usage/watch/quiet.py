# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run on a host on which nothing goes on: what the last whole run wrote still holds, and its times are set anew.

A run each 15 s on a healthy host is nearly all start of Python and loading of modules. This one loads nothing but
time, so it imports neither typing nor what imports it. A whole run whose sockets the kernel's counts alone proved
harmless notes beside its file what that holds for: version, arguments, sysctls, and higher counts that prove as much.
"""

import time

from ..._kernel.sockstat import read_sockstat
from .whole_file import hidden, remove, replace

TYPE_CHECKING = False  # as typing has it
if TYPE_CHECKING:
    from typing import Dict, Mapping, Optional, Sequence

# For so many seconds a whole run is trusted: findings that follow from the kernel's counters are never older.
LONGEST = 900

_OF_SOCKETS = ("inuse", "tw", "alloc")
_START = time.monotonic()


def remember(
    file: str, command: "Sequence[str]", keys: "Sequence[str]", most: "Mapping[str, int]", proc: str = "/proc"
) -> None:
    """command: version and arguments. keys: sysctls by name. most: as of `counts`, up to which all holds."""
    lines = [f"command {list(command)!r}", f"until {int(time.time()) + LONGEST}"]
    lines += [f"most {number} {name}" for name, number in most.items()]
    lines += [f"sysctl {key} {_read_sysctl(key, proc)!r}" for key in keys]
    replace(_note(file), "".join(f"{line}\n" for line in lines).encode())


def forget(file: str) -> None:
    """What holds for a moment is not to be noted."""
    remove(_note(file))


def renew(file: str, command: "Sequence[str]", proc: str = "/proc") -> bool:
    """Set the times of the last whole run's text anew, if it still holds; else False, and nothing has changed."""
    try:
        text = _read(file)
        if text is None or not _holds(_read(_note(file)) or "", command, proc):
            return False
    except (OSError, ValueError):  # of a note or counts in no known shape: the whole run tells what is wrong
        return False
    times = {
        "run_timestamp_seconds": time.time(),
        "run_duration_seconds": time.monotonic() - _START,
        "run_cpu_seconds": time.process_time(),
    }
    lines = (_renewed(line, times) for line in text.splitlines())
    replace(file, "".join(f"{line}\n" for line in lines).encode())
    return True


def _renewed(line: str, times: "Mapping[str, float]") -> str:
    """The line with another value, if it is a sample of one of these."""
    for name, value in times.items():
        if line.startswith(f"ephemeral_ports_{name}"):
            return f"{line.rpartition(' ')[0]} {value:.6f}"
    return line


def _holds(note: str, command: "Sequence[str]", proc: str) -> bool:
    lines = note.splitlines()
    if lines[:1] != [f"command {list(command)!r}"]:
        return False
    now = counts(proc)
    return all(_line_holds(line, now, proc) for line in lines[1:])


def _line_holds(line: str, now: "Mapping[str, int]", proc: str) -> bool:
    kind, first, rest = [*line.split(" ", 2), ""][:3]
    if kind == "until":
        return 0 < int(first) - time.time() <= LONGEST  # the clock may have been set
    if kind == "most":
        return now.get(rest, 0) <= int(first)
    return kind == "sysctl" and repr(_read_sysctl(first, proc)) == rest


def counts(proc: str = "/proc") -> "Dict[str, int]":
    """Numbers of sockets by the names that the kernel gives them, as "TCP inuse"; and entries of conntrack."""
    sockstat = read_sockstat(proc).items()
    found = {f"{name} {one}": number for name, of in sockstat for one, number in of.items() if one in _OF_SOCKETS}
    found["conntrack"] = int(_read_sysctl("net.netfilter.nf_conntrack_count", proc) or 0)
    return found


def _note(file: str) -> str:
    return hidden(file, "holds")


def _read_sysctl(key: str, proc: str) -> "Optional[str]":
    return _read(f"{proc}/sys/{key.replace('.', '/')}")


def _read(path: str) -> "Optional[str]":
    """None where there is no such file."""
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None

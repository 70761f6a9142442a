# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells processes apart: a number can be that of another process later, a number and a start time cannot."""

from typing import Optional

from .counters import PROC

# Which field of /proc/PID/stat is the start time, counted from behind the name, which can hold anything.
_START_TIME = 19


def started(pid: int, proc: str = PROC) -> Optional[int]:
    """When it was started, in clock ticks after boot; None where there is no such process."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[_START_TIME])
    except (OSError, IndexError):
        return None

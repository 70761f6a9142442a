# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes there are. A number can be that of another process later; a number and a start time cannot."""

import os
from typing import List, Optional

from .counters import PROC

# Which field of /proc/PID/stat is the start time, counted from behind the name, which can hold anything.
_START_TIME = 19


def list_pids(proc: str = PROC) -> List[int]:
    """Of the processes that are seen here, in no order."""
    return [int(name) for name in os.listdir(proc) if name.isdigit()]


def started(pid: int, proc: str = PROC) -> Optional[int]:
    """When it was started, in clock ticks after boot; None where there is no such process."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[_START_TIME])
    except (OSError, IndexError):
        return None

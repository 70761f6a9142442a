# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups of version 2 by their number: the inode of the directory, which is what the kernel calls each by."""

import os
import time
from typing import Dict, Set, Tuple

# Hybrid hosts have version 2 beside version 1.
_MOUNTS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
# What every directory of version 2 has, and none of version 1.
_VERSION_2 = "cgroup.controllers"


def paths(numbers: Set[int], deadline: float, mounts: Tuple[str, ...] = _MOUNTS) -> Dict[int, str]:
    """Paths within the hierarchy, as in /proc/PID/cgroup. Those that have ended, or are out of sight, are absent.

    Not finding one takes a search through all of them, which ends at the deadline (time.monotonic()).
    """
    found: Dict[int, str] = {}
    top = next((mount for mount in mounts if os.path.exists(f"{mount}/{_VERSION_2}")), None)
    left = [] if top is None else [top]
    while left and len(found) < len(numbers) and time.monotonic() < deadline:
        directory = left.pop(0)
        try:
            with os.scandir(directory) as entries:
                below = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # it has ended
            continue
        left += [entry.path for entry in below]
        found.update({entry.inode(): entry.path[len(top or "") :] for entry in below if entry.inode() in numbers})
    return found

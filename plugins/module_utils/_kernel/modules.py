# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules the kernel has loaded. To ask a part of it that is not would load it."""

import os

from .counters import PROC


def is_loaded(name: str, proc: str = PROC) -> bool:
    """Whether that part of the kernel is there, also where it is built in."""
    if not has_modules(proc):
        return True
    with open(os.path.join(proc, "modules"), encoding="ascii") as modules:
        return os.path.exists(f"/sys/module/{name}") or any(line.startswith(f"{name} ") for line in modules)


def has_modules(proc: str = PROC) -> bool:
    """Whether this kernel has modules at all, and not everything built in."""
    return os.path.exists(os.path.join(proc, "modules"))

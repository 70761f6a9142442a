# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the running kernel can do about TIME_WAIT and how that was found out.

A key exists or it does not: that is probed. Only where behaviour differs under the same key does the version decide,
and only here. Sources are the kernel trees of the versions named.
"""

import os
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .._common.errors import ProcfsError
from . import keys, sysctl
from .keys import TW_RECYCLE, TW_REUSE, TW_REUSE_DELAY, TW_TIMEOUT
from .time_wait import TIME_WAIT_MS

Version = Tuple[int, int, int]

# tcp_tw_reuse = 2 means "loopback only" since commit 79e9fed46038; before, any value but 0 enables it for all.
_REUSE_LOOPBACK_MODE = (4, 18, 0)
# Since commit cca9bab1b72c the age of a TIME_WAIT socket is compared on a monotonic clock.
_REUSE_MONOTONIC_SECOND = (4, 19, 0)
# __inet_hash_connect() tries every second port first, then the others.
_TWO_PASS_SEARCH = (4, 6, 0)
# tcp_tw_recycle was removed by commit 4396e46187ca.
RECYCLE_REMOVED = (4, 12, 0)


# Since then sockets that are bound and not connected are in a dump (netlink only).
_SHOWS_BOUND = (6, 8, 0)


def shows_bound(text: str) -> bool:
    return parse_version(text) >= _SHOWS_BOUND


# Since commit 4589725502871 NAT takes the port of a closed connection where it finds no other.
_NAT_EVICTS = (6, 5, 0)


def nat_evicts(text: str) -> bool:
    return parse_version(text) >= _NAT_EVICTS


def release(root: str = sysctl.PROC_SYS) -> str:
    return sysctl.read("kernel.osrelease", root) or os.uname().release


def parse_version(text: str) -> Version:
    """(6, 18, 44) from "6.18.44-generic"; missing parts are 0. Raises ProcfsError where no number leads."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    if match is None:
        raise ProcfsError(f"kernel.osrelease {text!r} is not a kernel release")
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def describe(text: str, sysctls: Mapping[str, Optional[str]]) -> Dict[str, Any]:
    """The part kernel of a usage, from the release and the values of the keys."""
    version = parse_version(text)
    return {
        "release": text,
        "version": list(version),
        "tcp_tw_recycle": _recycle(version, sysctls[TW_RECYCLE]),
        "tcp_tw_reuse": _reuse(version, sysctls[TW_REUSE]),
        "reuse_delay": _reuse_delay(version, text, sysctls[TW_REUSE_DELAY]),
        "time_wait": _time_wait(sysctls.get(TW_TIMEOUT)),
        "two_pass_port_search": {
            "supported": version >= _TWO_PASS_SEARCH,
            "how": f"Linux searches ports in two passes since 4.6; this is {version[0]}.{version[1]}",
        },
    }


def time_wait_seen(left_ms: int) -> Dict[str, Any]:
    """As time_wait, where a socket has more left of it than all of it was thought to be."""
    return {"milliseconds": left_ms, "how": f"seen: a socket in TIME_WAIT has {left_ms / 1000:.1f} s left"}


def _time_wait(timeout: Optional[str]) -> Dict[str, Any]:
    if timeout is not None:
        return {"milliseconds": int(timeout) * 1000, "how": TW_TIMEOUT}
    return {"milliseconds": TIME_WAIT_MS, "how": f"fixed: this kernel has no {TW_TIMEOUT}"}


def _recycle(version: Version, value: Optional[str]) -> Dict[str, Any]:
    if value is not None:
        how = f"{TW_RECYCLE} exists"
    elif version < RECYCLE_REMOVED:
        how = f"{TW_RECYCLE} is not visible here: {keys.why_hidden(TW_RECYCLE)}"
    else:
        how = f"{TW_RECYCLE} does not exist: Linux removed it in {keys.ROWS[TW_RECYCLE].removed}"
    return {"supported": value is not None, "how": how}


def _reuse(version: Version, value: Optional[str]) -> Dict[str, Any]:
    modes: List[int] = []
    if value is None:
        how = f"{TW_REUSE} is not visible here: {keys.why_hidden(TW_REUSE)}"
    elif version >= _REUSE_LOOPBACK_MODE:
        modes = [0, 1, 2]
        how = f"{TW_REUSE} exists; 2 means loopback only since 4.18, this is {version[0]}.{version[1]}"
    else:
        modes = [0, 1]
        how = f"{TW_REUSE} exists; before 4.18 any value but 0 means 1, this is {version[0]}.{version[1]}"
    return {"modes": modes, "how": how}


def _reuse_delay(version: Version, text: str, value: Optional[str]) -> Dict[str, Any]:
    """The age in milliseconds from which a TIME_WAIT port is certain to be reusable."""
    if value is not None:
        return {"milliseconds": int(value), "how": TW_REUSE_DELAY}
    if version >= _REUSE_MONOTONIC_SECOND or ".el8" in text:
        return {
            "milliseconds": 1000,
            "how": "fixed: the next full second, so at most 1 s, on Linux 4.19 to 6.13 and el8",
        }
    return {"milliseconds": 2000, "how": "fixed: more than one full second, so at most 2 s, up to Linux 4.18"}

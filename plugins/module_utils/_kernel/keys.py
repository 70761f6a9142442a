# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctls that are read, a row a key: to read one more, add its row.

Sources are the kernel trees of these versions; distributions may have a key earlier.
"""

from typing import NamedTuple, Optional, Tuple

PORT_RANGE = "net.ipv4.ip_local_port_range"
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
UNPRIVILEGED_PORT_START = "net.ipv4.ip_unprivileged_port_start"
TW_REUSE = "net.ipv4.tcp_tw_reuse"
TW_REUSE_DELAY = "net.ipv4.tcp_tw_reuse_delay"
TW_RECYCLE = "net.ipv4.tcp_tw_recycle"
TW_TIMEOUT = "net.ipv4.tcp_tw_timeout"
TIMESTAMPS = "net.ipv4.tcp_timestamps"
FIN_TIMEOUT = "net.ipv4.tcp_fin_timeout"
MAX_TW_BUCKETS = "net.ipv4.tcp_max_tw_buckets"


class Key(NamedTuple):
    """since, removed: the first Linux that has it, the first that does not; None where every version from 3.10 does.

    namespaced: the first Linux where each network namespace has its own; before, only the initial one shows it.
    limits: the least and the greatest number that it takes; limited: the first Linux that refuses others.
    vendor: only kernels of some vendors have it, whatever their version.
    """

    name: str
    namespaced: str
    since: Optional[str] = None
    removed: Optional[str] = None
    limits: Optional[Tuple[int, int]] = None
    limited: Tuple[int, int] = (3, 10)
    vendor: bool = False


TABLE = (
    Key(PORT_RANGE, namespaced="3.13", limits=(1, 65535)),
    Key(RESERVED_PORTS, namespaced="3.16"),
    Key(UNPRIVILEGED_PORT_START, namespaced="4.11", since="4.11", limits=(0, 65535)),
    Key(TW_REUSE, namespaced="4.10", limits=(0, 2), limited=(4, 18)),
    Key(TW_REUSE_DELAY, namespaced="6.14", since="6.14", limits=(1, 60000)),
    Key(TW_RECYCLE, namespaced="4.11", removed="4.12"),
    Key(TW_TIMEOUT, namespaced="4.19", vendor=True),  # seconds, 1 to 600, on Alibaba Cloud Linux
    Key(TIMESTAMPS, namespaced="4.13", limits=(0, 255), limited=(5, 13)),
    Key(FIN_TIMEOUT, namespaced="4.6"),
    Key(MAX_TW_BUCKETS, namespaced="4.11"),
)

NAMES = tuple(key.name for key in TABLE)
ROWS = {key.name: key for key in TABLE}


def why_hidden(name: str) -> str:
    """Why a network namespace may not show a key that the kernel has."""
    return f"before Linux {ROWS[name].namespaced} only the initial network namespace shows it"

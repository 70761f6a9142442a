# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many sockets there are, as the kernel counts them.

Read each 15 s by the watch on a quiet host, to which loading typing, or os, would cost more than this does.
"""

TYPE_CHECKING = False  # as typing has it
if TYPE_CHECKING:
    from typing import Dict, List, Mapping


def read_sockstat(proc: str = "/proc") -> "Dict[str, Dict[str, int]]":
    """/proc/net/sockstat and sockstat6 as {"TCP": {"inuse": 5, "orphan": 0, "tw": 30, ...}, "TCP6": ...}."""
    found = {}
    for line in (*_lines(f"{proc}/net/sockstat"), *_lines(f"{proc}/net/sockstat6")):
        name, _colon, rest = line.partition(":")
        words = rest.split()
        found[name] = {key: int(value) for key, value in zip(words[::2], words[1::2])}
    return found


def _lines(path: str) -> "List[str]":
    try:
        with open(path, encoding="ascii") as file:
            return file.readlines()
    except FileNotFoundError:  # sockstat6 is missing where IPv6 is switched off
        return []


def udp_sockets(sockstat: "Mapping[str, Mapping[str, int]]") -> int:
    """UDP sockets of IPv4 and IPv6 that have a port."""
    return sum(sockstat.get(name, {}).get("inuse", 0) for name in ("UDP", "UDP6"))

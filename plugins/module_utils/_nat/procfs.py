# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read connection tracking from /proc/net/nf_conntrack, where ctnetlink is absent or refused. Root alone may.

It does not say that a source was translated: that shows where a reply comes back to another end than the client's.
"""

import functools
import os
import socket
from typing import Dict, Iterable, List, Tuple

from .entries import ASSURED, NO_TIMEOUT, SEEN_REPLY, SRC_NAT, STATES, TCP, UDP, Entries, Entry, Key

_STATE = {name.encode(): number for number, name in enumerate(STATES)}
_SIZES = {b"ipv4": socket.AF_INET, b"ipv6": socket.AF_INET6}
_PROTOCOLS = (b"6", b"17")


def read(proc: str = "/proc") -> Entries:
    """Raises OSError where it may not be read."""
    found = Entries("procfs")
    with open(os.path.join(proc, "net/nf_conntrack"), "rb") as lines:
        collect(lines, found)
    return found


def collect(lines: Iterable[bytes], found: Entries) -> None:
    for line in lines:
        words = line.split()
        # Family and protocol, each by name and number; then what is left, and of TCP the state.
        if len(words) > 5 and words[3] in _PROTOCOLS and words[0] in _SIZES:
            _add(words, _SIZES[words[0]], found)


def _add(words: List[bytes], family: int, found: Entries) -> None:
    protocol = TCP if words[3] == b"6" else UDP
    original, reply = _ends(words)
    if "dport" not in original or "dport" not in reply:
        return
    status = 0 if b"[UNREPLIED]" in words else SEEN_REPLY
    status |= ASSURED if b"[ASSURED]" in words else 0
    if (reply["dst"], reply["dport"]) != (original["src"], original["sport"]):
        status |= SRC_NAT
    zone = int(original.get("zone-reply", original.get("zone", b"0")))
    key = Key(_packed(family, reply["dst"]), _packed(family, reply["src"]), int(reply["sport"]), protocol, zone)
    state = next((_STATE[word] for word in words[5:6] if word in _STATE), 0) if protocol == TCP else 0
    left = int(words[4]) if words[4].isdigit() else NO_TIMEOUT
    found.add(key, Entry(int(reply["dport"]), state, status, left))


def _ends(words: List[bytes]) -> Tuple[Dict[str, bytes], Dict[str, bytes]]:
    """Addresses and ports of both directions; what is there only once is in the first."""
    original: Dict[str, bytes] = {}
    reply: Dict[str, bytes] = {}
    for word in words[4:]:
        name, equals, value = word.partition(b"=")
        if equals:
            text = name.decode("ascii", "replace")
            (reply if text in original else original).setdefault(text, value)
    return original, reply


@functools.lru_cache(maxsize=4096)
def _packed(family: int, address: bytes) -> bytes:
    return socket.inet_pton(family, address.decode("ascii"))

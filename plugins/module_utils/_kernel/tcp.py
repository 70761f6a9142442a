# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TCP sockets are: their states, and which connections compete for the same local ports."""

from typing import Tuple

# include/net/tcp_states.h
STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
SYN_RECV = 3
FIN_WAIT2 = 5
TIME_WAIT = 6
CLOSE = 7
LISTEN = 10

# Source address, destination address (4 or 16 bytes, network order), destination port.
Destination = Tuple[bytes, bytes, int]

_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


def fold(address: bytes) -> bytes:
    """An IPv4 address out of its v4-mapped form: both use one space of 4-tuples in the kernel."""
    return address[12:] if address[:12] == _V4_MAPPED else address

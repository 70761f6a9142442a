# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of TCP sockets, and what competes for the same local ports."""

from typing import Tuple

# include/net/tcp_states.h
_NAMES = "ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING"
STATES = dict(enumerate(_NAMES.split(), 1))
SYN_SENT, SYN_RECV, FIN_WAIT2, TIME_WAIT, CLOSE, LISTEN = 2, 3, 5, 6, 7, 10

# Source address, destination address (4 or 16 bytes, network order), destination port.
Destination = Tuple[bytes, bytes, int]

_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


def fold(address: bytes) -> bytes:
    """An IPv4 address out of its v4-mapped form: both use one space of 4-tuples in the kernel."""
    return address[12:] if address[:12] == _V4_MAPPED else address

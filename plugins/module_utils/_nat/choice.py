# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NAT chooses ports from."""

from typing import NamedTuple

# Where a rule names no ports, by the port of the client: from 1024 on, from 512, below (nf_nat_l4proto_unique_tuple).
PLAIN = ((1024, 65535), (600, 1023), (1, 511))
PLAIN_SIZE = PLAIN[0][1] - PLAIN[0][0] + 1
RANDOM, PERSISTENT, FULLY_RANDOM = 4, 8, 16  # NF_NAT_RANGE_*


class Ports(NamedTuple):
    """Ports that NAT chooses from. flags: NF_NAT_RANGE_*. addresses: how many the rule has, 0 where it is not known.

    by_rule: whether a rule was read that says so.
    """

    low: int
    high: int
    flags: int = 0
    addresses: int = 0
    by_rule: bool = False

    @property
    def size(self) -> int:
        return self.high - self.low + 1

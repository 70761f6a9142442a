# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to read connection tracking on a host that translates, beside the kernel's own dump.

    python3 tests/benchmark/conntrack.py

Makes 100,000 entries in a network namespace of its own, towards two destinations and towards 1,000. Both are run in
turn, so that both suffer alike from what else the machine does; of the rounds the median of the ratio counts. Ends with
1 where a target of the project was missed: less than 1.5 times the dump, thrown away unread. Needs root and ip(8).
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from integration.router import MORE, SERVER, Router, many, router  # noqa: E402 - found by the line above
from module_utils._kernel.netlink import HEADER, NETFILTER, NLMSG_DONE, Netlink  # noqa: E402 - found by the line above
from module_utils._nat import ctnetlink  # noqa: E402 - found by the line above

ENTRIES, ROUNDS, LIMIT = 100_000, 9, 1.5
CLONE_NEWNET = 0x40000000
_DONE = HEADER.size + 4


def dump() -> None:
    """As ctnetlink.read() asks, and nothing done with the answers."""
    with Netlink(NETFILTER) as kernel:
        kernel._socket.send(HEADER.pack(HEADER.size + 4, 1 << 8 | 1, 0x301, 1, 0) + bytes(4))
        while True:
            answer = kernel._socket.recv(32768)
            if HEADER.unpack_from(answer, len(answer) - _DONE)[:2] == (_DONE, NLMSG_DONE):
                return


def cost(function: object) -> float:
    assert callable(function)
    start = time.process_time()
    function()
    return time.process_time() - start


def fill(one: Router, destinations: int) -> None:
    each = ENTRIES // destinations
    for number in range(destinations):
        host = f"{SERVER.rpartition('.')[0][:-1]}{number // 250}.{number % 250 + 1}"
        client = f"10.{number // 250}.{number % 250}.1"
        one.remember(many(each, 1024, client, each=60000), 2000, 110, to=(host, 443), source=MORE[number % 3])


def main() -> None:
    missed = False
    print("| destinations | dump, ms | read, ms | ratio |\n|---|---|---|---|")
    for destinations in (2, 1000):
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0, "this needs root"
        with router() as one:
            fill(one, destinations)
            pairs = [(cost(dump), cost(ctnetlink.read)) for _round in range(ROUNDS)]
        ratio = statistics.median(read / dumped for dumped, read in pairs)
        dumped, read = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {destinations} | {dumped:.0f} | {read:.0f} | {ratio:.2f} |")
        missed |= ratio >= LIMIT
    sys.exit(int(missed))


if __name__ == "__main__":
    main()

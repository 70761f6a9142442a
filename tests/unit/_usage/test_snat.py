# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a search of NAT fails, against the loop of the kernel; and ages of entries."""

from __future__ import annotations

import random

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.snat import search_fails, spread


def kernel_fails(taken: bytes, chance: random.Random) -> bool:
    """nf_nat_l4proto_unique_tuple() of Linux 6.18."""
    size, attempts = len(taken), min(128, len(taken))
    while True:
        start = chance.randrange(65536)
        if any(not taken[(start + turn) % size] for turn in range(attempts)):
            return False
        if attempts >= size or attempts < 16:
            return True
        attempts //= 2


@pytest.mark.parametrize("rows", [[900], [450, 450], [300] * 3, [999], [990]])
def test_a_search_fails_as_often_as_the_kernels(rows: list[int]) -> None:
    taken = b"".join(b"\1" * row + b"\0" * ((1000 - sum(rows)) // len(rows)) for row in rows).ljust(1000, b"\0")
    chance = random.Random(16)
    failed = sum(kernel_fails(taken, chance) for _turn in range(20000)) / 20000
    assert search_fails(taken) == pytest.approx(failed, abs=0.012)


def test_a_small_range_is_searched_to_the_end() -> None:
    assert search_fails(b"\1" * 99 + b"\0") == 0
    assert search_fails(b"\1" * 100) == 1
    assert search_fails(bytes(1000)) == 0


def test_seconds_as_ticks() -> None:
    found = spread({0: 8, 1: 400, 119: 3})
    assert sum(found.values()) == 411
    assert max(found) <= 119_999 >> 8
    assert found[5] == pytest.approx(102, abs=2)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ages of closed connections, each tick by itself, against what is summed up at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import Waiting

TICKS = st.dictionaries(st.integers(0, 255), st.integers(1, 999))


@given(TICKS, st.sampled_from([60000, 59904, 700, 256]), st.integers(0, 70000), st.sampled_from([8, 9]))
def test_younger(ticks: dict[int, int], lasts_ms: int, age_ms: int, shift: int) -> None:
    """A tick is an interval of time left, and so of age; what has more left than there is was closed before that."""
    waiting = Waiting(ticks, lasts_ms, lasts_ms, shift)
    total = 0.0
    for tick, number in ticks.items():
        oldest = lasts_ms - (tick << shift)
        youngest = max(0, oldest - (1 << shift) + 1)
        if oldest >= 0:
            total += number * min(1.0, max(0.0, (age_ms - youngest) / max(1, oldest - youngest)))
    assert waiting.younger(age_ms) == pytest.approx(total)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as people read them."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.text import format_forecast_time


@pytest.mark.parametrize(
    ("seconds", "between", "text"),
    [
        (40, None, "40 s"),
        (40, [None, None], "40 s"),
        (40, [30, None], "40 s (30 s at the earliest)"),
        (40, [30, 60], "40 s (30 to 60)"),
        (0.4, [0, None], "less than 1 s"),
        (0, None, "less than 1 s"),
        (0.4, [0, 3], "0 s (0 to 3)"),
    ],
)
def test_a_time_to_come(seconds: float, between: list[float | None] | None, text: str) -> None:
    assert format_forecast_time(seconds, between) == text

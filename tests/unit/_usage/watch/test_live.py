# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.live import screen


def test_lines_are_drawn_over_what_was_there() -> None:
    assert screen("title", ["one", "two"], 80, 24) == "\x1b[Htitle\x1b[K\r\n\x1b[K\r\none\x1b[K\r\ntwo\x1b[K\x1b[J"


def test_what_does_not_fit_is_counted() -> None:
    drawn = screen("title", [str(number) for number in range(30)], 80, 10)
    assert drawn.count("\r\n") == 9
    assert "... 23 lines more" in drawn


def test_long_lines_are_cut() -> None:
    assert "x" * 37 + "..." in screen("title", ["x" * 100], 40, 10)

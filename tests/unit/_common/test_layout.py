# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.layout import cut_end, cut_middle, one_line


def test_the_end_of_a_reason_stays() -> None:
    reason = f"dd: error writing '/root/.ansible/tmp/{'x' * 300}': No space left on device"
    cut = cut_middle(reason, 80)
    assert cut.startswith("dd: error writing '/root")
    assert cut.endswith("No space left on device")


def test_a_cut_is_between_words() -> None:
    words = [f"word{number}" for number in range(100)]
    for width in range(30, 90):
        head, _cut, tail = cut_middle(" ".join(words), width).partition(" ... ")
        assert set(head.split()) | set(tail.split()) <= set(words)
        assert len(head) + len(tail) > width - 25


@given(st.text(), st.integers(20, 60))
def test_nothing_is_wider_than_asked(text: str, width: int) -> None:
    for cut in (cut_end(text, width), cut_middle(text, width)):
        assert len(cut) <= width
        assert len(text) > width or cut == text


@given(st.text())
def test_printable(text: str) -> None:
    assert one_line(text).isprintable()
    assert '"' not in one_line(text)

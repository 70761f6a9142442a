# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, numbers and values in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.text import format_at_most
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.wording import format_names, natural


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["web3", "web1", "web2"], "web[1:3]"),
        (["web08", "web09", "web10", "web11"], "web[08:11]"),
        (["web8", "web9", "web10"], "web[8:10]"),
        (["web1", "web02", "web3"], "web1, web02, web3"),
        (["a1.eu2.net", "a2.eu2.net", "a3.eu3.net"], "a[1:2].eu2.net, a3.eu3.net"),
        (["rack1-9", "rack1-10", "rack2-11"], "rack1-[9:10], rack2-11"),
        (["db", "web", "web"], "db, web"),
        (["192.0.2.1", "192.0.2.2"], "192.0.2.1, 192.0.2.2"),
        ([], ""),
        (["a", "b", "c", "d", "e", "f", "g1", "g2"], "a, b, c, d, e, f and 2 more"),
    ],
)
def test_folded_names(names: list[str], folded: str) -> None:
    assert format_names(names) == folded


@given(st.sets(st.from_regex(r"\A[a-b]{0,2}[0-9]{1,3}(\.x)?\Z"), max_size=40))
def test_folding_loses_nobody(names: set[str]) -> None:
    assert unfold(format_names(names, limit=1000)) == sorted(names)


def unfold(text: str) -> list[str]:
    found: list[str] = []
    for piece in text.split(", ") if text else []:
        head, bracket, rest = piece.partition("[")
        if not bracket:
            found.append(piece)
            continue
        span, _bracket, tail = rest.partition("]")
        first, last = span.split(":")
        width = len(first) if first.startswith("0") else 0
        found += [f"{head}{number:0{width}d}{tail}" for number in range(int(first), int(last) + 1)]
    return sorted(found)


def test_names_are_sorted_as_people_count() -> None:
    assert sorted(["web10", "web9", "db1", "10", "9", "web"], key=natural) == ["9", "10", "db1", "web", "web9", "web10"]


@pytest.mark.parametrize(("rate", "text"), [(28232 / 60, "470"), (470.97, "470"), (9.99, "9.9"), (55296.0, "55296")])
def test_a_bound_is_never_rounded_up(rate: float, text: str) -> None:
    assert format_at_most(rate) == text

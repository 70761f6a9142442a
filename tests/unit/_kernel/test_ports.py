# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import pairwise
from operator import or_

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortRange,
    PortSet,
    meant_ports,
    parse_ports,
    parse_range,
    range_ports,
    second_half,
    union,
    usable_ports,
)

PORTS = st.integers(0, 65535)
PORT_SETS = st.sets(PORTS, max_size=60)
SPANS = st.lists(st.tuples(PORTS, PORTS).map(sorted).map(tuple), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("32768\t60999\n", PortRange(32768, 60999)),
        ("1 1", PortRange(1, 1)),
        ("  1024   65535 ", PortRange(1024, 65535)),
    ],
)
def test_range_is_read_as_the_kernel_prints_it(text: str, expected: PortRange) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "give two numbers"),
        ("1024", "give two numbers"),  # the kernel would change the low end only
        ("1024-65535", "give two numbers"),
        ("1024,65535", "give two numbers"),
        ("1 2 3", "give two numbers"),
        ("a b", "give two numbers"),
        ("+1 2", "give two numbers"),
        ("1_0 2_0", "give two numbers"),
        ("١ ٢", "give two numbers"),
        ("0 65535", "port 0 is outside 1 to 65535"),
        ("1024 65536", "port 65536 is outside"),
        ("60999 32768", "low end 60999 is above the high end 32768"),
    ],
)
def test_wrong_range_is_named(text: str, part_of_message: str) -> None:
    with pytest.raises(ValueError, match="port") as error:
        parse_range(text)
    assert part_of_message in str(error.value)


@pytest.mark.parametrize("text", ["8080,", ",,", "9010-9000", "65536", "1-2-3", "80 81", "http", "-1"])
def test_wrong_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        parse_ports(text)


@given(PORT_SETS)
def test_a_list_survives_its_own_spelling(ports: set[int]) -> None:
    assert parse_ports(str(PortSet.of(ports))) == PortSet.of(ports)


@given(SPANS, SPANS)
def test_sets_behave_like_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    """As the bits of a number, which cost little; and no two spans of a result touch."""

    def plain(spans: Iterable[tuple[int, int]]) -> int:
        return reduce(or_, ((1 << high + 1) - (1 << low) for low, high in spans), 0)

    def apart(result: PortSet) -> PortSet:
        spans = result.spans
        assert all(high + 1 < low for (_low, high), (low, _high) in pairwise(spans))
        return result

    a, b = PortSet(left), PortSet(right)
    assert plain(apart(a | b).spans) == plain(left) | plain(right)
    assert plain(apart(a - b).spans) == plain(left) & ~plain(right)
    assert plain(apart(a & b).spans) == plain(left) & plain(right)
    assert len(a) == bin(plain(left)).count("1")


@given(SPANS, PORTS)
def test_membership(spans: list[tuple[int, int]], port: int) -> None:
    assert (port in PortSet(spans)) == any(low <= port <= high for low, high in spans)


@pytest.mark.parametrize(
    ("port_range", "unusable", "expected"),
    [
        (PortRange(32768, 60999), "", 28232),
        (PortRange(32768, 61000), "", 28232),  # odd: one port is lost
        (PortRange(10000, 10099), "10000-10010", 89),  # an odd remainder loses none
        (PortRange(10000, 10099), "80,443,10099-20000", 99),
        (PortRange(10000, 10001), "1-65535", 0),
        (PortRange(10000, 10000), "", 1),
        (PortRange(10000, 10000), "10000", 0),
        (PortRange(10000, 10002), "10000-10002", 0),
    ],
)
def test_usable_ports(port_range: PortRange, unusable: str, expected: int) -> None:
    assert usable_ports(port_range, parse_ports(unusable), two_pass=True) == expected


def test_a_search_in_one_pass_leaves_out_no_port() -> None:
    """The default range of Linux 3.10 is odd: all 28,233 ports of it were in use there."""
    assert usable_ports(PortRange(32768, 61000), PortSet(), two_pass=False) == 28233
    assert usable_ports(PortRange(10000, 10000), PortSet(), two_pass=False) == 1


@given(st.integers(1, 60), st.integers(0, 60), st.sets(st.integers(1, 130)))
def test_the_second_half_is_every_other_port(low: int, more: int, held: set[int]) -> None:
    port_range = PortRange(low, low + more)
    clients = range_ports(port_range) - PortSet.of(held)
    assert second_half(port_range, clients) == len(set(range(low + 1, low + more + 1, 2)) - held)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("30000-32767 # node ports 1-2", "30000-32767"),
        ("8080, 9000 - 9010 ;", "8080,9000-9010"),
        ('"8080"', "8080"),
        ("32767-30000", "30000-32767"),
        ("70000,80", "80"),
        ("port80", ""),
        ("", ""),
        ("# 80", ""),
    ],
)
def test_what_a_text_means(text: str, ports: str) -> None:
    assert str(meant_ports(text)) == ports


@given(SPANS)
def test_a_list_means_what_it_says(spans: list[tuple[int, int]]) -> None:
    ports = PortSet(spans)
    assert meant_ports(str(ports)) == ports
    assert union([ports, PortSet()]) == ports

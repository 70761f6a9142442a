# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host tells of destinations beyond a NAT gateway: which they are, what is cut off, when they were closed."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.time_wait import Reuse
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable, record
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.networks import Networks, check_behind
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.outside import MOST, describe_outside

NEVER = Reuse(mode=0, delay_ms=1000)
ALWAYS = Reuse(mode=1, delay_ms=1000)
SOURCES = [ipaddress.ip_address(text).packed for text in ("10.1.1.2", "10.1.1.3")]
WHOLE = 1000


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("text", "inside", "outside", "expected"),
    [
        ("203.0.113.7", (), (), True),
        ("10.2.3.4", (), (), False),
        ("172.31.0.1", (), (), False),
        ("172.32.0.1", (), (), True),
        ("100.64.0.1", (), (), False),
        ("203.0.113.7", ("203.0.113.0/24",), (), False),
        ("203.0.113.7", ("203.0.113.0/24",), ("203.0.113.7/32",), True),
        ("10.2.3.4", (), ("10.2.0.0/16",), True),
        ("10.2.3.4", (), ("10.0.0.0/8",), True),  # named before a default
        ("2001:db8::7", (), (), False),
        ("2001:db8::7", (), ("::/0",), True),
        ("fd00::7", (), ("::/0",), False),
        ("64:ff9b::cb00:7107", (), ("64:ff9b::/96",), True),
        ("2001:db8::7", (), ("64:ff9b::/96",), False),
        *((one, (), ("0.0.0.0/0", "::/0"), False) for one in ("127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0")),
        *((one, (), ("::1/128", "fe80::/10"), False) for one in ("::1", "fe80::1", "ff02::1")),
    ],
)
def test_what_is_beyond_a_gateway(text: str, inside: Any, outside: Any, expected: bool) -> None:
    networks = Networks(inside, outside)
    assert (address(text) in networks) == expected
    assert (address(text) in networks) == expected  # also when it is remembered


def test_no_network() -> None:
    with pytest.raises(OptionError, match=r"behind_nat: 10\.0\.0\.1/8 has host bits set"):
        check_behind({"gateway": "x", "inside": ["10.0.0.1/8"], "outside": [], "enough": 0})
    assert check_behind(None) is None


def table(found: list[tuple[bytes, str, int, int, list[int]]]) -> SocketTable:
    """Of (source, address, port, live, ages in milliseconds)."""
    counted = SocketTable()
    for source, text, port, live, ages in found:
        destination = source, address(text), port
        for number in range(live):
            counted.add_live(destination, 1, 40000 + number)
        counted.time_wait.add(destination, [record(50000 + index, 60000 - age >> 8) for index, age in enumerate(ages)])
    return counted


def described(counted: SocketTable, reuse: Reuse = NEVER) -> Any:
    return describe_outside(counted, Networks(), WHOLE, reuse)


def test_one_destination_from_two_addresses() -> None:
    counted = table(
        [
            (SOURCES[0], "203.0.113.7", 443, 2, [100, 1500, 59_000]),
            (SOURCES[1], "203.0.113.7", 443, 1, [1600]),
            (SOURCES[0], "10.9.9.9", 443, 5, [100]),
            (address("203.0.113.9"), "203.0.113.9", 443, 5, []),  # its own
        ]
    )
    counted.syn_resent[SOURCES[0], address("203.0.113.7"), 443] = 1
    (one,) = described(counted)["destinations"]
    assert one == {
        "address": "203.0.113.7",
        "port": 443,
        "usable": 2 * WHOLE,
        "live": 3,
        "syn_resent": 1,
        "closed": [1, 2, *[0] * 55, 1][: len(one["closed"])],
        "known_seconds": 59.392,
    }
    assert sum(one["closed"]) == 4


def test_what_is_left_out_is_counted() -> None:
    found = [(SOURCES[0], f"203.0.{number >> 8}.{number & 255}", 443, 1 + number % 3, []) for number in range(MOST + 9)]
    told = described(table(found))  # type: ignore[arg-type]  # what it reads of one
    lives = sorted((1 + number % 3 for number in range(MOST + 9)), reverse=True)
    assert [one["live"] for one in told["destinations"]] == lives[:MOST]
    assert told["left_out"] == {"destinations": 9, "sockets": sum(lives[MOST:]), "most": lives[MOST]}


@given(st.lists(st.integers(0, 59_999), max_size=300))
def test_every_closed_connection_is_in_its_interval(ages: list[int]) -> None:
    (one,) = described(table([(SOURCES[0], "203.0.113.7", 443, 1, ages)]))["destinations"]
    assert sum(one["closed"]) == len(ages)
    for second in range(0, 60, 5):
        told = sum(one["closed"][: round(second / 1.024)])
        least = sum(age < max(0, second - 1) * 1000 for age in ages)
        most = sum(age < (second + 1) * 1000 for age in ages)
        assert least <= told <= most


def test_where_ports_are_reused_only_the_last_second_is_whole() -> None:
    ages = [100, 300, 900, *range(2000, 40_000, 100)]
    (one,) = described(table([(SOURCES[0], "203.0.113.7", 443, 0, ages)]), ALWAYS)["destinations"]
    assert (one["known_seconds"], one["closed"]) == (1.024, [3])
    # Few of few ports are reused: then the ages are as good as without.
    (one,) = described(table([(SOURCES[0], "203.0.113.7", 443, 0, ages[:50])]), ALWAYS)["destinations"]
    assert (one["known_seconds"], sum(one["closed"])) == (59.392, 50)

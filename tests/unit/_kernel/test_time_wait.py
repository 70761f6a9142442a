# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When tcp_tw_reuse is in force, and for whom."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.time_wait import (
    Reuse,
    is_loopback,
    reuse_in_force,
)


@pytest.mark.parametrize(
    ("source", "address", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("10.0.0.1", "127.1.2.3", True),
        ("::1", "::1", True),
        ("198.18.0.1", "198.18.0.1", False),  # over lo, and yet not loopback for tcp_tw_reuse
        ("2001:db8::1", "2001:db8::2", False),
    ],
)
def test_loopback_rule(source: str, address: str, expected: bool) -> None:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    destination = socket.inet_pton(family, source), socket.inet_pton(family, address), 80
    assert is_loopback(destination) is expected
    assert Reuse(2, 1000).hold_ms(destination) == (1000 if expected else 60000)
    assert Reuse(1, 1000).hold_ms(destination) == 1000
    assert Reuse(0, 1000).hold_ms(destination) == 60000


@pytest.mark.parametrize(
    ("release", "reuse", "timestamps", "recycled", "expected"),
    [
        ("6.18.0", "2", "1", 0, 2),
        ("6.18.0", "1", "2", 0, 1),
        ("6.18.0", "1", "0", 0, 0),
        ("6.18.0", "0", "1", 150, 0),  # it was on earlier
        ("4.17.19", "2", "1", 0, 1),  # before 4.18 any value but 0 is "on"
        ("4.9.0", None, None, 0, 0),  # hidden from a container
        ("4.9.0", None, None, 150, 1),  # and yet on, as what was reused in it tells
        ("4.12.14", "1", None, 0, 1),  # tcp_timestamps is hidden, and on by default
    ],
)
def test_reuse_in_force(release: str, reuse: str | None, timestamps: str | None, recycled: int, expected: int) -> None:
    sysctls: dict[str, str | None] = dict.fromkeys(keys.NAMES)
    sysctls |= {keys.TW_REUSE: reuse, keys.TIMESTAMPS: timestamps}
    found = reuse_in_force(features.describe(release, sysctls), sysctls, {"TWRecycled": recycled})
    assert (found.mode, found.never_seen, found.hidden) == (expected, not recycled, reuse is None)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import saturation
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.saturation import Only, Reuse

V4 = socket.inet_aton("192.0.2.1")
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", Only(V4, None)),
        ("192.0.2.1:80", Only(V4, 80)),
        ("::ffff:192.0.2.1", Only(V4, None)),
        ("[::ffff:192.0.2.1]:80", Only(V4, 80)),
        ("2001:db8::1", Only(V6, None)),
        ("[2001:db8::1]", Only(V6, None)),
        ("[2001:db8::1]:65535", Only(V6, 65535)),
    ],
)
def test_destination_option(text: str, expected: Only) -> None:
    assert saturation.parse_only(text) == expected


@pytest.mark.parametrize("text", ["", "host", "host:80", "192.0.2.1:0", "192.0.2.1:65536", "[::1", "[::1]80:", "1:2:3"])
def test_wrong_destination_option(text: str) -> None:
    with pytest.raises(OptionError, match="is not ADDRESS, ADDRESS:PORT or"):
        saturation.parse_only(text)


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
    assert saturation.is_loopback(destination) is expected
    assert Reuse(2, 1000).hold_ms(destination) == (1000 if expected else 60000)
    assert Reuse(1, 1000).hold_ms(destination) == 1000
    assert Reuse(0, 1000).hold_ms(destination) == 60000


@pytest.mark.parametrize(
    ("release", "reuse", "timestamps", "expected"),
    [
        ("6.18.0", "2", "1", 2),
        ("6.18.0", "1", "2", 1),
        ("6.18.0", "1", "0", 0),
        ("4.17.19", "2", "1", 1),  # before 4.18 any value but 0 is "on"
        ("4.9.0", None, None, 0),  # hidden from a container
        ("4.12.14", "1", None, 1),  # tcp_timestamps is hidden, and on by default
    ],
)
def test_reuse_in_force(release: str, reuse: str | None, timestamps: str | None, expected: int) -> None:
    sysctls: dict[str, str | None] = dict.fromkeys(keys.NAMES)
    sysctls |= {keys.TW_REUSE: reuse, keys.TIMESTAMPS: timestamps}
    assert saturation.reuse_in_force(features.describe(release, sysctls), sysctls).mode == expected


SMALL = st.integers(0, 300)


@given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, st.integers(1, 5000), st.sampled_from([0.1, 0.4, 1.0]))
def test_the_short_cut_is_never_wrong(
    live: int, live6: int, time_wait: int, listening: int, bound: int, elsewhere: int, size: int, warning: float
) -> None:
    """Where the counters prove it, no destination is at warning: all sockets at one, every holder in the range."""
    sockstat = {
        "TCP": {"inuse": live + listening, "tw": time_wait, "alloc": live + live6 + listening + bound + elsewhere},
        "TCP6": {"inuse": live6},
    }
    usable = size - listening - bound
    if saturation.proves_ok(sockstat, size, saturation.check_thresholds(warning, 1.0)):
        assert live + live6 + time_wait < usable * warning

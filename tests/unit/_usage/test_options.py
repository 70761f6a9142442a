# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of port_usage_info, as text."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import Only, parse_only

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
    assert parse_only(text) == expected


@pytest.mark.parametrize("text", ["", "host", "host:80", "192.0.2.1:0", "192.0.2.1:65536", "[::1", "[::1]80:", "1:2:3"])
def test_wrong_destination_option(text: str) -> None:
    with pytest.raises(OptionError, match="is not ADDRESS, ADDRESS:PORT or"):
        parse_only(text)


def test_an_address_that_ends_like_a_port() -> None:
    with pytest.raises(OptionError, match=r"can mean two: write \[2001:db8::1:80\], or \[2001:db8::1\]:80 with a port"):
        parse_only("2001:db8::1:80")
    whole = Only(socket.inet_pton(socket.AF_INET6, "2001:db8::1:80"), None)
    assert parse_only("[2001:db8::1:80]") == whole
    assert parse_only("2001:db8:0:0:0:0:1:80") == whole
    assert parse_only("2001:db8::1:a") == Only(socket.inet_pton(socket.AF_INET6, "2001:db8::1:a"), None)

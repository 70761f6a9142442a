# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel makes of a text; tests/integration/test_sysctl_value.py compares it with the real one."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import (
    FIN_TIMEOUT,
    PORT_RANGE,
    RESERVED_PORTS,
    TIMESTAMPS,
    TW_REUSE,
    UNPRIVILEGED_PORT_START,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_value import (
    RefusedError,
    first_write,
    value_after,
)

NEW, OLD = (6, 18, 44), (4, 9, 229)
CURRENT = {PORT_RANGE: "32768 60999", UNPRIVILEGED_PORT_START: "1024", TW_REUSE: "2", "kernel.domainname": "(none)"}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (TW_REUSE, "1 # allow it", "1"),
        (TIMESTAMPS, " 1\t; on", "1"),
        (TIMESTAMPS, "010", "8"),
        (FIN_TIMEOUT, "0x10", "16"),
        (PORT_RANGE, "10240\t65535", "10240 65535"),
        (PORT_RANGE, "10240", "10240 60999"),
        (UNPRIVILEGED_PORT_START, "32768", "32768"),
        (RESERVED_PORTS, "", ""),
        (RESERVED_PORTS, "9001,8080,9000,", "8080,9000-9001"),
        ("kernel.domainname", " example.net ", "example.net"),
        ("net.ipv4.never_seen", "1 # x", "1 # x"),
    ],
)
def test_taken(key: str, text: str, value: str) -> None:
    assert value_after(key, text, CURRENT, NEW) == value


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        (PORT_RANGE, '"9000 65500"', "is not a number"),
        (PORT_RANGE, "1000 65535", "begins below net.ipv4.ip_unprivileged_port_start, which is 1024"),
        (PORT_RANGE, "61000", "61000 is above the high end 60999"),
        (PORT_RANGE, "10240-65535", "is not a number"),
        (UNPRIVILEGED_PORT_START, "40000", "begins below it, at 32768"),
        (TW_REUSE, "yes", "is not a number"),
        (TW_REUSE, "3", "outside 0 to 2"),
        (TW_REUSE, "", "no number"),
        (TIMESTAMPS, "09", "is not a number"),
        (FIN_TIMEOUT, "1" * 21, "too long"),
        (RESERVED_PORTS, "30000-32767 # NodePorts", "is not a list of ports"),
        (RESERVED_PORTS, "5,,6", "is not a list of ports"),
        (RESERVED_PORTS, "65536", "is not a range of ports"),
    ],
)
def test_refused(key: str, text: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        value_after(key, text, CURRENT, NEW)


def test_the_version_counts_where_behaviour_differs() -> None:
    assert value_after(TW_REUSE, "3", CURRENT, OLD) == "3"


def test_what_is_unknown_does_not_hinder() -> None:
    assert value_after(PORT_RANGE, "500 65535", {UNPRIVILEGED_PORT_START: None}, OLD) == "500 65535"


def test_a_write_of_a_page() -> None:
    """Since 5.2 an entry whose end is not seen is left for the next write; before, it is taken as it is cut."""
    ports = ",".join(map(str, range(10001, 13001)))
    assert first_write(ports, NEW, 4096) == ports[:4091]
    assert first_write(ports, OLD, 4096) == ports[:4095]
    assert ports[4088:4096] == "682,1068"  # so port 106 would be reserved
    assert first_write("8080", OLD, 4096) == "8080"

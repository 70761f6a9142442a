# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of trace_pipe, as kernels print them and as they never should."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._trace.events import (
    FILTER,
    Event,
    Lost,
    parse_line,
)

V4 = (
    " shop worker-1-4711    [001] .....  6042.918273: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=0 "
    "dport=8080 saddr=198.18.0.1 daddr=198.18.0.1 saddrv6=::ffff:198.18.0.1 daddrv6=::ffff:198.18.0.1 "
    "oldstate=TCP_CLOSE newstate=TCP_SYN_SENT"
)
V6 = (
    "            curl-99      [015] d..1. 12.000001: inet_sock_set_state: family=AF_INET6 protocol=IPPROTO_TCP sport=0 "
    "dport=443 saddr=0.0.0.0 daddr=0.0.0.0 saddrv6=2001:db8::1 daddrv6=2001:db8:4::17 "
    "oldstate=TCP_SYN_SENT newstate=TCP_CLOSE"
)
TEN = socket.inet_aton("198.18.0.1")


def test_a_connect_begins() -> None:
    assert parse_line(V4) == Event(4711, "shop worker-1", TEN, 8080, failed=False)


def test_a_connect_failed() -> None:
    assert parse_line(V6) == Event(99, "curl", socket.inet_pton(socket.AF_INET6, "2001:db8:4::17"), 443, failed=True)


def test_kernels_before_the_family_was_printed() -> None:
    assert parse_line(V4.replace("family=AF_INET ", "")) == parse_line(V4)


def test_with_the_number_of_the_process() -> None:
    """Where somebody has switched record-tgid on."""
    assert parse_line(V4.replace("    [001]", "   (   4711) [001]")) == parse_line(V4)
    assert parse_line(V4.replace("    [001]", "   (-------) [001]")) == parse_line(V4)


@pytest.mark.parametrize(
    "name", ["<...>", "a-1 [0] .: b", "kworker/u8:1", "dport=1 daddr", "-", "", "x\ry", "nginx: worker"]
)
def test_names_of_tasks_are_of_any_characters(name: str) -> None:
    event = parse_line(V4.replace("shop worker-1", name))
    assert event == Event(4711, name, TEN, 8080, failed=False)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=15))
def test_no_name_of_a_task_makes_another_event(name: str) -> None:
    event = parse_line(V4.replace("shop worker-1", name))
    assert event == Event(4711, name.lstrip(), TEN, 8080, failed=False)


def test_lost_events() -> None:
    assert parse_line("CPU:3 [LOST 1234 EVENTS]") == Lost(1234)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# tracer: nop",
        V4[:90],
        V4.replace("daddrv6=::ffff:198.18.0.1", "daddrv6=:::"),
        V4.replace("inet_sock_set_state", "sched_switch"),
        "CPU:3 [LOST EVENTS]",
    ],
)
def test_what_is_no_event(line: str) -> None:
    assert parse_line(line) is None


@given(st.text())
def test_anything_else_is_nothing(line: str) -> None:
    assert parse_line(line) is None or line.startswith("CPU:")


def test_the_filter_is_as_the_kernel_wants_it() -> None:
    assert FILTER == (
        "protocol == 6 && ((oldstate == 7 && newstate == 2) || (oldstate == 2 && newstate == 7 && sport == 0))"
    )

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The level of a pool: as the kernel says, or as counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.port_flags import PortFlags
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.time_wait import Reuse
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.probe import ADDRESS, PORT, Answer
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable, record
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import pools
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.binders import Binders, find_binders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.describe import describe_pool
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_thresholds
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.pools import Pool

ESTABLISHED = 1
HOST, PEER = b"\xc6\x12\0\1", b"\xc6\x12\0\2"
RANGE = PortRange(40000, 40999)
REUSE = Reuse(mode=1, delay_ms=1000, never_seen=True)
THRESHOLDS = check_thresholds(0.4, 0.5)
TICKS_OF_A_MINUTE = 235
FOUND = Answer(0, None, HOST, 40002, 7.0, 3)
NONE_FOUND = Answer(99, PORT, None, None, 900.0, 3)


def table(live: int = 0, time_wait: Sequence[int] = ()) -> SocketTable:
    """live: open connections. time_wait: how many were closed in each of the last ticks, the newest first."""
    found, destination = SocketTable(), (HOST, PEER, 443)
    ports = itertools.cycle(itertools.chain(range(40000, 41000, 2), range(40001, 41000, 2)))
    for port in itertools.islice(ports, live):
        found.add_live(destination, ESTABLISHED, port)
    for age, number in enumerate(time_wait):
        tick = TICKS_OF_A_MINUTE - 1 - age
        found.time_wait.add(destination, [record(port, tick) for port in itertools.islice(ports, number)])
    return found


def pool(found: SocketTable, reuse: Reuse = REUSE) -> Pool:
    return pools.connect_pool((HOST, PEER, 443), found, RANGE.size, reuse)


@pytest.mark.parametrize(
    ("closed", "reuse", "fails"),
    [
        ([12] * 50, REUSE, True),  # 47/s for 13 s: reuse would have taken the old ones of the first half
        ([12] * 50, REUSE._replace(never_seen=False), False),  # the kernel has counted some
        ([12] * 50, Reuse(0, 1000, True), False),  # nothing is expected to be reused
        ([12] * 50, REUSE._replace(never_seen=False, hidden=True), True),  # some, once: the host has switched it off
        ([12] * 40, REUSE, False),  # less than half of the ports: they need not have been met
        ([600], REUSE, False),  # all at once, when none was old enough
        ([0] * 40 + [300, 300], REUSE, False),
    ],
)
def test_ports_that_reuse_would_have_taken_are_blocked(closed: list[int], reuse: Reuse, fails: bool) -> None:
    one = pool(table(time_wait=closed), reuse)
    assert one.reuse_fails is fails
    if fails:
        assert (one.blocked, one.level(THRESHOLDS)) == (sum(closed), "critical")


@pytest.mark.parametrize(
    ("number", "answer", "level", "fails"),
    [
        (1000, NONE_FOUND, "exhausted", True),
        (1000, FOUND, "ok", False),
        (600, FOUND, "ok", False),  # a port of the first half: it was reused
        (600, FOUND._replace(port=40003), "critical", True),  # none there, though all of it is in TIME_WAIT
        (600, NONE_FOUND, "exhausted", False),  # ports are left, and others hold them
        (600, NONE_FOUND._replace(lacks=ADDRESS), "critical", True),  # nothing was said about ports
    ],
)
def test_the_kernel_has_the_last_word_on_reuse(number: int, answer: Answer, level: str, fails: bool) -> None:
    one = pools.with_answer(pool(table(time_wait=[0] * 40 + [number // 40] * 40)), answer, RANGE, REUSE)
    assert (one.level(THRESHOLDS), one.reuse_fails) == (level, fails)


@pytest.mark.parametrize(
    ("live", "answer", "level"),
    [
        (1000, None, "exhausted"),
        (1000, FOUND, "critical"),
        (999, NONE_FOUND, "exhausted"),
        (100, NONE_FOUND, "exhausted"),
        (100, FOUND, "ok"),
        (450, None, "warning"),
    ],
)
def test_the_level_follows_the_kernel_where_it_was_asked(live: int, answer: Answer | None, level: str) -> None:
    one = pools.with_answer(pool(table(live=live)), answer, RANGE, REUSE)
    assert one.level(THRESHOLDS) == level
    described = describe_pool(one, THRESHOLDS)
    assert described["level"] == level
    assert (described["probe"] is None) is (answer is None)


@pytest.mark.parametrize(
    ("live", "doubt", "level"),
    [
        (100, {"more": True}, "unknown"),
        (450, {"more": True}, "unknown"),
        (600, {"more": True}, "critical"),
        (100, {"more": True, "held": True}, "exhausted"),
        (1000, {"spare": 1}, "unknown"),  # an odd range: the last port may be found
        (1001, {"spare": 1}, "exhausted"),
    ],
)
def test_what_cannot_be_counted_is_unknown(live: int, doubt: dict[str, Any], level: str) -> None:
    one = pool(table(live=live))._replace(doubt=pools.SURE._replace(**doubt))
    assert one.level(THRESHOLDS) == level


@pytest.mark.parametrize(
    ("recycled", "answer", "level", "hold_seconds"),
    [
        (False, None, "unknown", 60.0),  # reuse may be on, and nothing was old enough so far
        (True, None, "unknown", 2.0),
        (False, FOUND, "warning", 2.0),  # the newest ports are not old enough
        (True, FOUND, "warning", 2.0),
        (False, NONE_FOUND, "exhausted", 60.0),
        (True, NONE_FOUND, "exhausted", 60.0),
    ],
)
def test_whether_a_host_reuses_ports_shows_in_its_container(
    recycled: bool, answer: Answer | None, level: str, hold_seconds: float
) -> None:
    """Linux 4.4 and 4.9: tcp_tw_reuse is the host's, and a network namespace does not show it."""
    reuse = Reuse(int(recycled), 2000, never_seen=not recycled, hidden=True)
    one = pool(table(time_wait=[450 if answer else 1000, *[0] * 40, 550 if answer else 0]), reuse)
    one = pools.with_answer(one, answer, RANGE, reuse)
    assert (one.level(THRESHOLDS), one.waiting.hold_ms / 1000) == (level, hold_seconds)


def test_when_ports_may_be_reused_is_not_certain_enough_for_exhausted() -> None:
    assert pool(table(time_wait=[1000])).level(THRESHOLDS) == "unknown"


@pytest.mark.parametrize(
    ("sockets", "second_left", "unseen", "more"),
    [
        (999, 0, 0, False),
        (1000, 0, 0, True),
        (1000, 200, 0, False),
        (300, 0, 700, True),  # bound ones, where the kernel does not show them
        (300, 600, 700, True),
        (300, 800, 700, False),
    ],
)
def test_doubt(sockets: int, second_left: int, unseen: int, more: bool) -> None:
    doubt = pools.how_sure(Binders(sockets, PortFlags(range(7)), {}, second_left), RANGE.size, unseen, 0)
    assert doubt == (sockets, 7, more, None, 0)


def test_ports_of_binders_are_missing_to_others_but_not_to_themselves() -> None:
    found = table()
    for port in range(40001, 40400, 2):
        found.add_live((HOST, PEER, 443), ESTABLISHED, port)
    held = PortFlags(range(40001, 40600, 2))
    own = pools.connect_pool((HOST, PEER, 443), found, RANGE.size, REUSE, held)
    other = pools.connect_pool((HOST, PEER, 444), found, RANGE.size, REUSE, held)
    assert (own.usable, own.blocked, other.usable, other.blocked) == (900, 200, 700, 0)
    left = pools.with_answer(own, NONE_FOUND, RANGE, REUSE)
    assert (left.usable, left.held, left.saturation) == (200, 800, 1.0)


@pytest.mark.parametrize(("number", "level"), [(450, "warning"), (600, "critical"), (1000, "exhausted")])
def test_the_pool_of_a_source_counts_ports_and_not_sockets(number: int, level: str) -> None:
    found = table()
    for port in itertools.islice(itertools.chain(range(40001, 41000, 2), range(40000, 41000, 2)), number):
        found.add_live((HOST, PEER, port), ESTABLISHED, port)
        found.time_wait.add((HOST, PEER, 443), [record(port, 200)])
    (one,) = pools.bind_pools(find_binders(found, RANGE, PortSet(), True), found, RANGE, PortSet(), True, REUSE)
    assert (one.key, one.blocked, one.live, one.level(THRESHOLDS)) == ((HOST, None, None), number, number, level)
    assert pools.with_answer(one, FOUND, RANGE, REUSE).level(THRESHOLDS) == ("critical" if number > 450 else level)
    assert pools.with_answer(one, NONE_FOUND, RANGE, REUSE).level(THRESHOLDS) == "exhausted"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports are taken for chosen by bind(), by which of the halves they are of."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.port_flags import PortFlags
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.socket_table import SocketTable, record
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.binders import Binders, Source, find_binders

HOST, OTHER, PEER = b"\xc6\x12\0\1", b"\xc6\x12\0\2", b"\xc6\x12\0\3"
RANGE = PortRange(40000, 40999)
FIRST, SECOND = range(40000, 41000, 2), range(40001, 41000, 2)
EVERY = range(40000, 41000)
ESTABLISHED = 1


def table(ports: dict[tuple[bytes, int], Iterable[int]]) -> SocketTable:
    """By source and destination port: the local ports, by turns of a live connection and of one in TIME_WAIT."""
    found = SocketTable()
    for (source, to), chosen in ports.items():
        for number, port in enumerate(chosen):
            if number % 2:
                found.add_live((source, PEER, to), ESTABLISHED, port)
            else:
                found.time_wait.add((source, PEER, to), [record(port, 100)])
    return found


def each_its_own(ports: Iterable[int], source: bytes = HOST) -> dict[tuple[bytes, int], Iterable[int]]:
    return {(source, port): [port] for port in ports}


def found(ports: dict[tuple[bytes, int], Iterable[int]], two_pass: bool = True) -> Binders:
    return find_binders(table(ports), RANGE, PortSet(), two_pass)


def test_a_client_that_calls_connect_alone() -> None:
    """It keeps to the first half until that is used up, and then goes on to the second."""
    assert found({(HOST, 443): FIRST[:300], (HOST, 444): FIRST[100:500]}) == (700, PortFlags(), {}, 500)
    assert found({(HOST, 443): [*FIRST, *SECOND[:200]], (HOST, 444): FIRST[:10]}) == (710, PortFlags(), {}, 300)
    assert found({(HOST, 443): EVERY}) == (1000, PortFlags(), {}, 0)


@pytest.mark.parametrize(
    ("young", "bound"), [(FIRST[300:340], set()), ([*FIRST[300:340], SECOND[210]], {*SECOND[:200], SECOND[210]})]
)
def test_what_is_left_of_the_second_half_when_the_first_was_used_up(young: list[int], bound: set[int]) -> None:
    """A change let ports be reused: the client is back in the first half. One that binds goes on to use the second."""
    sockets = SocketTable()
    left = [*FIRST[:200], *SECOND[:200]]
    sockets.time_wait.add((HOST, PEER, 443), [record(port, 100) for port in left])
    sockets.time_wait.add((HOST, PEER, 443), [record(port, 230) for port in young])
    assert set(find_binders(sockets, RANGE, PortSet(), True).ports) == bound


def test_a_client_near_the_limit_goes_back_and_forth() -> None:
    """Ports are freed some seconds' worth at a time, of both halves: the first is not used up at every moment."""
    sockets = SocketTable()
    sockets.time_wait.add((HOST, PEER, 443), [record(port, 100) for port in [*FIRST[:440], *SECOND[:440]]])
    sockets.time_wait.add((HOST, PEER, 443), [record(port, 230) for port in [*FIRST[440:470], *SECOND[440:460]]])
    assert not find_binders(sockets, RANGE, PortSet(), True).ports


@pytest.mark.parametrize("number", [100, 450, 600, 900, 1000])
def test_clients_that_bind_are_seen_however_many_ports_they_have(number: int) -> None:
    chosen = [*SECOND, *FIRST][:number]
    for ports in (each_its_own(chosen), {(HOST, 443 + turn): chosen[turn::3] for turn in range(3)}):
        binders = found(ports)
        assert set(binders.ports) == set(chosen)
        assert binders.sources == {HOST: Source(PortFlags(chosen), number, [])}
        assert binders.second_left == max(0, 500 - number)


def test_binders_beside_a_client_that_connects() -> None:
    ports = {**each_its_own([*SECOND, *FIRST[:70]]), (OTHER, 443): FIRST[70:250]}
    binders = found(ports)
    assert set(binders.ports) == {*SECOND, *FIRST[:70]}
    assert set(binders.sources) == {HOST}


def test_each_source_counts_for_itself_though_ports_are_shared() -> None:
    sockets = table({**each_its_own(SECOND[:300]), **each_its_own(SECOND[200:400], OTHER), (OTHER, 443): FIRST[:40]})
    binders = find_binders(sockets, RANGE, PortSet(), True)
    assert set(binders.ports) == set(SECOND[:400])
    assert {address: (len(one.every_port(sockets)), one.chosen) for address, one in binders.sources.items()} == {
        HOST: (300, 300),
        OTHER: (240, 200),
    }


def test_ports_that_a_program_chooses_itself() -> None:
    """Close together, in both halves, although the second one is not used up."""
    assert found({(HOST, 443): range(40100, 40200)}).ports == PortFlags(range(40100, 40200))
    assert found({(HOST, 443): [*SECOND[:50], *FIRST[300:350]]}).ports == PortFlags(SECOND[:50])


def test_a_client_that_they_lead_into_the_second_half_has_not_chosen() -> None:
    """With 200 ports of the first half gone, connect() goes on to the second half earlier."""
    left = [port for port in EVERY if port not in range(40600, 41000)]
    binders = found({(HOST, 443): range(40600, 41000), (HOST, 444): left})
    assert set(binders.ports) == set(range(40600, 41000))


def test_a_range_that_begins_with_an_odd_port() -> None:
    connecting = table({(HOST, 443): range(40001, 40500, 2)})
    assert not find_binders(connecting, PortRange(40001, 41000), PortSet(), True).ports
    assert set(find_binders(connecting, RANGE, PortSet(), True).ports) == set(range(40001, 40500, 2))


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        (each_its_own(EVERY[:500]), True),
        ({(HOST, 443 + turn): EVERY[turn:900:3] for turn in range(3)}, True),
        ({(HOST, 443 + turn): EVERY[turn * 40 : turn * 40 + 40] for turn in range(3)}, False),  # may well be chance
        ({(HOST, 443 + turn): EVERY[:300] for turn in range(3)}, False),
        ({(HOST, 443): EVERY}, False),
        (each_its_own(EVERY[:90]), False),
    ],
)
def test_kernels_without_halves(ports: dict[tuple[bytes, int], Iterable[int]], told: bool) -> None:
    binders = found(ports, two_pass=False)
    assert bool(binders.ports) is told
    assert (set(binders.sources), binders.second_left) == ({HOST} if told else set(), 0)


WIDE = PortRange(10000, 49999)


@pytest.mark.parametrize("missing", [range(10001, 10401, 2), range(10001, 50001, 200), range(30001, 30001)])
def test_what_is_left_of_the_second_half_where_many_destinations_share_it(missing: range) -> None:
    """However the ports lie that none of them has; each is missed by all of them, or by one more alone."""
    left = [port for port in range(10001, 50000, 2) if port not in missing]
    first = range(10000, 50000, 2)
    apart = {(HOST, to): [*first, *left[: 900 * to], *left[900 * to + 500 :]] for to in range(1, 9)}
    binders = find_binders(table(apart), WIDE, PortSet(), True)
    assert binders.ports == PortFlags()
    assert binders.sockets // 4096 < 100
    assert binders.second_left == len(missing)

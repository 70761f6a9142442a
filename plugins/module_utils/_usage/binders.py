# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which local ports were chosen by bind(), and so are of no use to any connect(). Pure.

The kernel does not tell. What tells: connect() goes on to the second half of the ports only for a destination that uses
up the first; bind() begins with the second half, and a program that chooses ports itself minds no halves. One-pass
kernels have no halves: there, that no port is shared although so many destinations would share some.
"""

import collections
from typing import Collection, DefaultDict, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from .._kernel.ports import PortRange, PortSet, client_ports, second_half
from .._kernel.tcp import Destination
from .._kernel.time_wait import TIME_WAIT_MS
from .._sockets.socket_table import SocketTable

# Of so many sockets one may come, go or be passed over while they are counted.
CHURN = 4096
# A destination of fewer sockets than this shows its habits only together with others of the same source.
_FEW = 16
# Used up, but for ports that were freed a moment ago.
_NEARLY = 0.98
# At least so many on ports of the second half for each on the first, where bind() had to go on to the first.
_EVENLY = 0.5
# Ports that a program chooses itself lie close together.
_DENSE = 0.9
# What a program may hold to lead others on, as a share of all ports.
_LARGE = 0.05
# What a client does now shows in what it closed within so long, and in its live sockets.
_RECENT_MS = 5000
# From this share of the first half on it may have been used up a moment ago.
_MOSTLY, _CLEARLY = 0.5, 1.25
# One-pass kernels: so many sockets at least, and so little a chance that connect() would share no port.
_TOLD_FROM = 100
_BY_CHANCE = 0.001


class Binders(NamedTuple):
    """sockets: of all destinations, in any state. ports: chosen by bind(), as far as can be told. sources: those that
    chose them, with the ports of all their sockets, and how many were chosen so. second_left: ports of the second half
    that no socket has, at least.
    """

    sockets: int
    ports: Set[int]
    sources: Dict[bytes, Tuple[Set[int], int]]
    second_left: int


class _Halves(NamedTuple):
    """How many ports connect() tries first, and how many last."""

    first: int
    second: int


class _Group(NamedTuple):
    """Destinations of one source that are judged together: their sockets, and those on ports of the second half."""

    source: bytes
    destinations: List[Destination]
    sockets: int
    second: int

    @property
    def is_even(self) -> bool:
        return self.second >= (self.sockets - self.second) * _EVENLY


def find_binders(
    table: SocketTable, port_range: PortRange, reserved: PortSet, two_pass: bool, lasts_ms: int = TIME_WAIT_MS
) -> Binders:
    """lasts_ms: how long TIME_WAIT lasts."""
    clients = client_ports(port_range, reserved) - PortSet.of(table.listening | table.bound)
    if not two_pass:
        return _without_halves(table, len(clients))
    second = second_half(port_range, clients)
    counts = {one: (table.count(one), _count_second(table, one, port_range)) for one in table.destinations()}
    least = max(0, lasts_ms - _RECENT_MS) >> table.time_wait.shift
    halves = _Halves(len(clients) - second, second)
    groups = [
        one for one in _groups(counts, halves.first) if _begins_with_second(table, one, least, halves, port_range)
    ]
    groups = _without_led_on(table, groups, len(clients), second, port_range)
    by_source = {
        source: _union((table.ports(one) for group in found for one in group.destinations), len(clients))
        for source, found in _by_source(groups).items()
    }
    suspects = _merged(by_source.values())
    of_second = _of_second(suspects, port_range)
    chosen = _chosen(table, groups, suspects, of_second, len(of_second) >= second * _NEARLY)
    told = {one for group in groups for one in group.destinations}
    others = _by_source(_Group(one[0], [one], 0, 0) for one in counts if one[0] in by_source and one not in told)
    sources = {}
    for source, ports in by_source.items():
        number = len(ports) if ports is chosen else len(ports & chosen)
        more = [table.ports(one) for group in others.get(source, ()) for one in group.destinations]
        sources[source] = (ports.union(*more) if more else ports), number
    return Binders(
        sum(number for number, _second in counts.values()),
        chosen,
        sources,
        _left(table, counts, second, of_second, port_range),
    )


def _groups(counts: Mapping[Destination, Tuple[int, int]], first: int) -> Iterator[_Group]:
    """Those that have ports of the second half although the first is not used up."""
    few: DefaultDict[bytes, List[Destination]] = collections.defaultdict(list)
    for one, (number, second) in counts.items():
        if number - second >= first * _NEARLY:
            continue
        if number < _FEW:
            few[one[0]].append(one)
        elif second:
            yield _Group(one[0], [one], number, second)
    for source, found in few.items():
        number, second = (sum(column) for column in zip(*map(counts.__getitem__, found)))
        if second:
            yield _Group(source, found, number, second)


def _begins_with_second(table: SocketTable, group: _Group, least: int, halves: _Halves, port_range: PortRange) -> bool:
    """Whether what it has in the second half is there although the first had ports left.

    What is recent tells; the rest may be from when the first was used up, unless nothing is older. Timers of the kernel
    free ports by seconds, so that near the limit of a client that calls connect() the first half is used up only now
    and then; but it is never clearly less used than the second.
    """
    recent, second = 0, 0
    for one in group.destinations:
        number, odd = table.count_recent(one, least)
        recent, second = recent + number, second + (number - odd if port_range.low % 2 else odd)
    if recent in (0, group.sockets):
        return True
    first_used = (group.sockets - group.second) / max(1, halves.first)
    second_used = group.second / max(1, halves.second)
    return second > 0 and (first_used < _MOSTLY or second_used >= first_used * _CLEARLY)


def _without_led_on(
    table: SocketTable, groups: List[_Group], most: int, second: int, port_range: PortRange
) -> List[_Group]:
    """Without those that connect() led into the second half, as programs with ports of their own hold the first."""
    led_on: List[_Group] = []
    own: Set[int] = set()
    for group in sorted((one for one in groups if one.is_even and one.sockets >= most * _LARGE), key=_size):
        first_left = most - second - len(own - _of_second(own, port_range))
        if own and group.sockets - group.second >= first_left * _NEARLY:
            led_on.append(group)
            continue
        ports = _union(map(table.ports, group.destinations), most)
        own |= ports if _are_close(ports) else set()
    return [group for group in groups if group not in led_on] if led_on else groups


def _size(group: _Group) -> int:
    return group.sockets


def _are_close(ports: Set[int]) -> bool:
    return len(ports) >= (max(ports) - min(ports) + 1) * _DENSE


def _by_source(groups: Iterable[_Group]) -> Dict[bytes, List[_Group]]:
    found: Dict[bytes, List[_Group]] = {}
    for group in groups:
        found.setdefault(group.source, []).append(group)
    return found


def _chosen(
    table: SocketTable, groups: Sequence[_Group], suspects: Set[int], of_second: Set[int], is_second_full: bool
) -> Set[int]:
    """Those of the second half, and those of groups that were led into the first: the second is full, or they were
    chosen by hand.
    """
    even = [group for group in groups if group.is_even]
    if is_second_full and len(even) == len(groups):
        return suspects
    found = [of_second]
    for group in even:
        ports = set().union(*map(table.ports, group.destinations))
        if is_second_full or (group.sockets >= _FEW and _are_close(ports)):
            found.append(ports)
    return _merged(found)


def _left(
    table: SocketTable,
    counts: Mapping[Destination, Tuple[int, int]],
    second: int,
    used: Set[int],
    port_range: PortRange,
) -> int:
    """Ports of the second half that no socket has. They are counted only where they may be none."""
    by_count = second - sum(number for _all, number in counts.values())
    if by_count > second * (1 - _NEARLY):
        return by_count
    for one in sorted(counts, key=lambda one: -counts[one][1]):
        if len(used) >= second or not counts[one][1]:
            break
        used = used | _of_second(set(table.ports(one)), port_range)
    return max(0, second - len(used))


def _without_halves(table: SocketTable, number: int) -> Binders:
    sources, chosen, sockets = {}, set(), 0
    of_source: DefaultDict[bytes, List[Destination]] = collections.defaultdict(list)
    for one in table.destinations():
        of_source[one[0]].append(one)
    for source, found in of_source.items():
        counts = sorted(map(table.count, found), reverse=True)
        sockets += sum(counts)
        if sum(counts) < _TOLD_FROM or _chance_not_to_share(counts, number) > _BY_CHANCE:
            continue
        ports = _union(map(table.ports, found), number)
        if len(ports) >= sum(counts) * _NEARLY:
            sources[source] = ports, len(ports)
            chosen |= ports
    return Binders(sockets, chosen, sources, 0)


def _chance_not_to_share(counts: Iterable[int], number: int) -> float:
    """That connect() gives runs of ports that do not overlap, each begun anywhere."""
    chance, before = 1.0, 0
    for turn, count in enumerate(counts):
        if turn:
            chance *= max(0.0, 1 - (before + turn * count) / max(1, number))
        before += count
    return chance


def _count_second(table: SocketTable, destination: Destination, port_range: PortRange) -> int:
    odd = table.count_odd(destination)
    return table.count(destination) - odd if port_range.low % 2 else odd


def _of_second(ports: Set[int], port_range: PortRange) -> Set[int]:
    return ports.intersection(range(port_range.low + 1, port_range.high + 1, 2))


def _union(every: Iterable[Iterable[int]], most: int) -> Set[int]:
    """All ports. There are so many at most: once they are found, the rest need not be read."""
    found: Set[int] = set()
    for ports in every:
        if len(found) >= most:
            break
        found.update(ports)
    return found


def _merged(sets: Collection[Set[int]]) -> Set[int]:
    """All of them. Large sets are slow to copy, and as a rule there is one."""
    return next(iter(sets)) if len(sets) == 1 else set().union(*sets)

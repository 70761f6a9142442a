# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which local ports were chosen by bind(), and so are of no use to any connect(). Pure.

The kernel does not tell. What tells: connect() goes on to the second half of the ports only for a destination that uses
up the first; bind() begins with the second half, and a program that chooses ports itself minds no halves. One-pass
kernels have no halves: there, that no port is shared although so many destinations would share some.
"""

import collections
from typing import DefaultDict, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel.port_flags import PortFlags
from .._kernel.ports import MAX_PORT, PortRange, PortSet, client_ports, second_half
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


class Source(NamedTuple):
    """An address whose clients call bind(). ports: those of its sockets that may be theirs; chosen: how many of them
    are. others: its destinations beside those.
    """

    ports: PortFlags
    chosen: int
    others: Sequence[Destination] = ()

    def every_port(self, table: SocketTable) -> PortFlags:
        """Those of all its sockets."""
        return _union(table, self.others, start=self.ports) if self.others else self.ports


class Binders(NamedTuple):
    """sockets: of all destinations, in any state. ports: chosen by bind(), as far as can be told. sources: those that
    chose them. second_left: ports of the second half that no socket has; at least, and not told apart where so few may
    come, go or be passed over.
    """

    sockets: int
    ports: PortFlags
    sources: Dict[bytes, Source]
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
    sockets = sum(number for number, _second in counts.values())
    least = max(0, lasts_ms - _RECENT_MS) >> table.time_wait.shift
    halves = _Halves(len(clients) - second, second)
    groups = [
        one for one in _groups(counts, halves.first) if _begins_with_second(table, one, least, halves, port_range)
    ]
    groups = _without_led_on(table, groups, len(clients), second, port_range)
    by_source = {source: _of_groups(table, found, len(clients)) for source, found in _by_source(groups).items()}
    suspects = _merged(by_source.values())
    of_second = suspects.every_second(port_range.low + 1)
    chosen = _chosen(table, groups, suspects, of_second, len(of_second) >= second * _NEARLY)
    told = {one for group in groups for one in group.destinations}
    others: DefaultDict[bytes, List[Destination]] = collections.defaultdict(list)
    for one in counts:
        if one[0] in by_source and one not in told:
            others[one[0]].append(one)
    sources = {
        source: Source(ports, len(ports if ports is chosen else ports & chosen), others[source])
        for source, ports in by_source.items()
    }
    seconds = {one: number for one, (_all, number) in counts.items() if number}
    left = second - sum(seconds.values())
    if left <= second * (1 - _NEARLY):
        free = PortFlags.of(clients).every_second(port_range.low + 1)
        left = _left(table, seconds, free, of_second, sockets // CHURN)
    return Binders(sockets, chosen, sources, left)


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
    first_used = (group.sockets - group.second) / max(1, halves.first)
    second_used = group.second / max(1, halves.second)
    if first_used < _MOSTLY or second_used >= first_used * _CLEARLY:
        parity = (port_range.low + 1) % 2
        if any(table.has_recent(one, least, parity) for one in group.destinations):
            return True
    return sum(table.count_recent(one, least) for one in group.destinations) in (0, group.sockets)


def _without_led_on(
    table: SocketTable, groups: List[_Group], most: int, second: int, port_range: PortRange
) -> List[_Group]:
    """Without those that connect() led into the second half, as programs with ports of their own hold the first."""
    led_on: List[_Group] = []
    own = PortFlags()
    for group in sorted((one for one in groups if one.is_even and one.sockets >= most * _LARGE), key=_size):
        first_left = most - second - len(own.every_second(port_range.low))
        if own and group.sockets - group.second >= first_left * _NEARLY:
            led_on.append(group)
        elif _are_close(table, group):
            own = _union(table, group.destinations, start=own)
    return [group for group in groups if group not in led_on] if led_on else groups


def _size(group: _Group) -> int:
    return group.sockets


def _are_close(table: SocketTable, group: _Group) -> bool:
    """Whether its ports lie close together. Most are told by the first of the tests, which costs little."""
    if len(group.destinations) == 1 and group.sockets < table.spread(group.destinations[0]) * _DENSE:
        return False
    ports = _union(table, group.destinations)
    return len(ports) >= ports.spread() * _DENSE


def _by_source(groups: Iterable[_Group]) -> Dict[bytes, List[_Group]]:
    found: Dict[bytes, List[_Group]] = {}
    for group in groups:
        found.setdefault(group.source, []).append(group)
    return found


def _chosen(
    table: SocketTable, groups: Sequence[_Group], suspects: PortFlags, of_second: PortFlags, is_second_full: bool
) -> PortFlags:
    """Those of the second half, and those of groups that were led into the first: the second is full, or they were
    chosen by hand.
    """
    even = [group for group in groups if group.is_even]
    if is_second_full and len(even) == len(groups):
        return suspects
    found = [group for group in even if is_second_full or (group.sockets >= _FEW and _are_close(table, group))]
    return _union(table, (one for group in found for one in group.destinations), start=of_second)


def _left(table: SocketTable, seconds: Mapping[Destination, int], free: PortFlags, used: PortFlags, few: int) -> int:
    """Ports of the second half that no socket has. seconds: how many each destination has of it, free: all of it.

    few: so many are as good as none.
    """
    free = free - used
    left, read = len(free), 0
    pages: Optional[bytes] = None
    for one in sorted(seconds, key=seconds.__getitem__, reverse=True):
        if left <= few:
            break
        free.discard(table.ports(one, pages))
        read += seconds[one]
        if read * 2 >= left:  # it may be much less by now
            left, read, pages = len(free), 0, free.pages()
    return len(free)


def _without_halves(table: SocketTable, number: int) -> Binders:
    sources, sockets = {}, 0
    of_source: DefaultDict[bytes, List[Destination]] = collections.defaultdict(list)
    for one in table.destinations():
        of_source[one[0]].append(one)
    for source, found in of_source.items():
        counts = sorted(map(table.count, found), reverse=True)
        sockets += sum(counts)
        if sum(counts) < _TOLD_FROM or _chance_not_to_share(counts, number) > _BY_CHANCE:
            continue
        ports = _union(table, found, number)
        if len(ports) >= sum(counts) * _NEARLY:
            sources[source] = Source(ports, len(ports))
    return Binders(sockets, _merged(source.ports for source in sources.values()), sources, 0)


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


def _of_groups(table: SocketTable, groups: Iterable[_Group], most: int) -> PortFlags:
    return _union(table, (one for group in groups for one in group.destinations), most)


def _union(
    table: SocketTable,
    destinations: Iterable[Destination],
    most: int = MAX_PORT,
    start: Optional[PortFlags] = None,
) -> PortFlags:
    """All ports of their sockets. There are so many at most: once they are found, the rest need not be read."""
    found = start.copy() if start else PortFlags()
    left, read = most - len(found), 0
    for one in destinations:
        found.add(table.ports(one))
        read += table.count(one)
        if read >= left:
            left, read = most - len(found), 0
            if left <= 0:
                break
    return found


def _merged(sets: Iterable[PortFlags]) -> PortFlags:
    """All of them; as a rule there is one."""
    every = iter(sets)
    found = next(every, PortFlags())
    for ports in every:
        found = found | ports
    return found

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port pools: the ports that one kind of use can take, and what follows from how many are taken. Pure.

A pool of the kind connect belongs to a source address, destination address and destination port: that is what a local
port of a connect() without bind() has to be unique for. One of the kind bind belongs to a source address alone: bind()
to port 0 chooses before there is a destination. One of the kind snat is shared by all for whom this host translates
source addresses.
"""

import collections
import heapq
from typing import Counter, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel.port_flags import PortFlags
from .._kernel.ports import MAX_PORT, PortRange, PortSet, is_of_second_half, usable_ports
from .._kernel.tcp import STATES, Destination
from .._kernel.time_wait import Reuse
from .._nat.choice import Ports
from .._sockets import probe
from .._sockets.live import Key
from .._sockets.probe import Answer, Question
from .._sockets.socket_table import SocketTable
from . import binders as of_binders
from .binders import Binders
from .options import Only, Thresholds
from .waiting import Waiting, lowest_blocking_tick

CONNECT, BIND, UDP, SNAT = "connect", "bind", "udp", "snat"

LEVELS = ("exhausted", "critical", "warning", "unknown", "ok")
EXHAUSTED, CRITICAL, WARNING, UNKNOWN, OK = LEVELS

# The kernel is asked from this share of the level warning on.
NEAR = 0.9
# Of a pool of the kind snat, whatever the options say: searches begin to fail where half of the ports are taken.
SNAT_THRESHOLDS = Thresholds(0.5, 0.75)
# How likely a search fails where that is worth a warning, and where it is critical.
_SOMETIMES, _OFTEN = 1e-4, 1e-2
# Clients that call bind() are worth a pool once they chose this share of the usable ports.
_BOUND_SHARE = 0.1
# By how much numbers of sockets have to differ before anything is concluded from that.
_CLEARLY = 1.1

# Addresses of IPv4 and IPv6 that stand for all of them.
_ANY = (bytes(4), bytes(16))


class Doubt(NamedTuple):
    """What counting the sockets of one destination does not tell about the ports that are left for it.

    sockets: of all destinations, in any state. bound: ports that only bind() can have chosen, which are of no use to
    any connect(). more: all ports may be held so. held: whether they are, if the kernel was asked. spare: ports that
    may be left although none is counted, as one search leaves out a port of an odd range.
    """

    sockets: int
    bound: int
    more: bool
    held: Optional[bool]
    spare: int


SURE = Doubt(sockets=0, bound=0, more=False, held=None, spare=0)
# Where the range that counts is not known.
UNSURE = Doubt(sockets=0, bound=0, more=True, held=None, spare=MAX_PORT)


class Translation(NamedTuple):
    """What only a pool of the kind snat has. ports: that NAT chooses from.

    search_fails: how likely it is that no port is found for a connection whose own is taken: the kernel tries some 250
    at most. full: whether none is left. dropped: connections, while the table was read. idle: that are open, and of
    which nothing was heard for hours.
    """

    protocol: int
    zone: int
    ports: Ports
    search_fails: float
    full: bool
    dropped: int
    idle: int

    def level(self, saturation: float) -> str:
        """Connections are dropped before all ports are taken, so that whoever waits for that is late."""
        counted = level_of(saturation, SNAT_THRESHOLDS)
        if self.full or (self.dropped and counted != OK):
            return EXHAUSTED
        if counted in (EXHAUSTED, CRITICAL) or self.search_fails >= _OFTEN:
            return CRITICAL
        return WARNING if counted == WARNING or self.search_fails >= _SOMETIMES else OK


class Pool(NamedTuple):
    """usable: ports that can be taken at all. live: those that connections have; states: how many in each state.
    waiting: closed ones that the kernel still knows. answer: what the kernel says, if it was asked. doubt: why what was
    counted may not be all. reuse_fails: ports stay blocked that the sysctls say are reused. reuse_hidden: whether they
    are cannot be seen, as in a container on an old kernel. taken: the ports of all these sockets, where several may
    share one. held: ports that are not usable, as bind() chose them for others: as far as can be told. syn_resent:
    connections that have sent their SYN again, and wait.
    """

    kind: str
    key: Key
    usable: int
    live: int
    states: Mapping[str, int]
    waiting: Waiting
    answer: Optional[Answer] = None
    doubt: Doubt = SURE
    reuse_fails: bool = False
    reuse_hidden: bool = False
    taken: Optional[int] = None
    held: int = 0
    syn_resent: int = 0
    nat: Optional[Translation] = None

    @property
    def question(self) -> Question:
        """What to ask the kernel about a pool of the kind connect."""
        source, address, port = self.key
        return source, address or b"", port or 0

    @property
    def source(self) -> bytes:
        """Of a pool of the kind bind."""
        return self.key[0] or b""

    @property
    def blocked(self) -> int:
        return self.live + self.waiting.blocking if self.taken is None else self.taken

    @property
    def in_use(self) -> int:
        """Ports of sockets in any state, whether or not they may be reused."""
        return self.live + self.waiting.number if self.taken is None else self.taken

    @property
    def saturation(self) -> float:
        return min(1.0, self.blocked / self.usable) if self.usable else 1.0

    @property
    def is_full(self) -> bool:
        """Whether it is certain, without asking, that no port is left. When a port may be reused is not."""
        may_reuse = self.kind == CONNECT and (self.waiting.reused or self.reuse_hidden)
        certain = self.live if may_reuse else self.in_use
        return certain >= self.usable + self.held + self.doubt.spare

    def level(self, thresholds: Thresholds) -> str:
        """As the kernel says where it was asked, and as counted where not."""
        if self.nat:
            return self.nat.level(self.saturation)
        counted = level_of(self.saturation, self.limits(thresholds))
        if self.doubt.held or (self.answer and self.answer.lacks == probe.PORT):
            return EXHAUSTED
        if self.answer and not self.answer.errno:
            return CRITICAL if counted == EXHAUSTED else counted
        if counted == EXHAUSTED and not self.is_full:
            return UNKNOWN
        return UNKNOWN if self.doubt.more and counted in (WARNING, OK) else counted

    def is_near(self, thresholds: Thresholds) -> bool:
        """Whether it is worth to ask the kernel: at warning or nearly so, whatever is thought to be reusable."""
        return self.in_use >= self.usable * self.limits(thresholds).warning * NEAR

    def limits(self, thresholds: Thresholds) -> Thresholds:
        if self.nat:
            return SNAT_THRESHOLDS
        return thresholds.of_udp if self.kind == UDP else thresholds


def connect_pool(
    destination: Destination, table: SocketTable, usable: int, reuse: Reuse, held: Optional[PortFlags] = None
) -> Pool:
    """held: ports that bind() chose. Those that sockets of this destination have are not missing to it."""
    waiting = waiting_of(destination, table, reuse)
    each = {name: table.live_states[destination, number] for number, name in STATES.items()}
    states = {name: number for name, number in each.items() if number}
    pool = Pool(CONNECT, destination, usable, table.live[destination], states, waiting, reuse_hidden=reuse.hidden)
    pool = pool._replace(syn_resent=table.syn_resent[destination])
    if (reuse.never_seen or reuse.hidden) and _looks_unused(pool):
        pool = _without_reuse(pool)
    return _with_held(pool, len(held) - held.among(table.ports(destination))) if held else pool


def _with_held(pool: Pool, held: int) -> Pool:
    total = pool.usable + pool.held
    return pool._replace(usable=max(0, total - held), held=min(total, held))


def bind_pools(
    binders: Binders, table: SocketTable, port_range: PortRange, reserved: PortSet, two_pass: bool, reuse: Reuse
) -> List[Pool]:
    """Those of sources whose clients call bind() before connect(), the most used first."""
    found = []
    for address, source in binders.sources.items():
        held = set().union(*(table.holders.get(one, ()) for one in (address, *_ANY)))
        usable = usable_ports(port_range, reserved | PortSet.of(held), two_pass)
        if source.chosen >= max(1, usable * _BOUND_SHARE):
            ports = source.every_port(table)
            found.append(_bind_pool(address, usable, len(ports) - ports.among(held), table, reuse))
    return sorted(found, key=lambda pool: (-pool.blocked, pool.source))


def _bind_pool(source: bytes, usable: int, taken: int, table: SocketTable, reuse: Reuse) -> Pool:
    """For bind() a port is taken whatever the state of the sockets that have it: nothing is reused."""
    destinations = [one for one in table.destinations() if one[0] == source]
    ticks = table.time_wait.histogram(*destinations)
    states: Counter[int] = collections.Counter()
    for (destination, state), number in table.live_states.items():
        states[state] += number * (destination[0] == source)
    lasts_ms = reuse.lasts_ms()
    waiting = Waiting(ticks, lasts_ms, lasts_ms, table.time_wait.shift)
    named = {name: states[number] for number, name in STATES.items() if states[number]}
    return Pool(BIND, (source, None, None), usable, sum(named.values()), named, waiting, taken=taken)


def waiting_of(destination: Destination, table: SocketTable, reuse: Reuse) -> Waiting:
    lasts_ms = _lasts_ms(destination, table, reuse)
    ticks = table.time_wait.histogram(destination)
    return Waiting(ticks, reuse.hold_ms(destination, lasts_ms), lasts_ms, table.time_wait.shift)


def _lasts_ms(destination: Destination, table: SocketTable, reuse: Reuse) -> int:
    """For how long TIME_WAIT lasts. Where it differs, the destination's own sockets tell."""
    return reuse.lasts_ms(table.time_wait.longest_ms(destination) if reuse.recycles else 0)


def _looks_unused(pool: Pool) -> bool:
    """Whether ports stay in TIME_WAIT that reuse would have taken.

    connect() takes what it may reuse in the first half of the ports before it goes on to the second. More than a half
    are in use, then, only if so many were live or too young at one time.
    """
    half = pool.usable / 2
    waiting = pool.waiting
    if not waiting.reused:
        return False
    return pool.in_use > half * _CLEARLY and (pool.live + waiting.busiest(waiting.hold_ms)) * _CLEARLY < half


def _without_reuse(pool: Pool) -> Pool:
    return pool._replace(waiting=pool.waiting._replace(hold_ms=pool.waiting.lasts_ms), reuse_fails=True)


def with_answer(pool: Pool, answer: Optional[Answer], port_range: PortRange, reuse: Reuse) -> Pool:
    """What the kernel says tells too whether it reuses ports: whatever is in use, a failing connect() could not."""
    if answer is None or pool.kind != CONNECT:
        return pool._replace(answer=answer)
    fails = pool.reuse_fails
    hold_ms = reuse.hold_ms(answer_key(pool, answer), pool.waiting.lasts_ms)
    if answer.lacks == probe.PORT:
        fails = hold_ms < pool.waiting.lasts_ms and pool.in_use >= pool.usable and pool.waiting.number > 0
    elif answer.port is not None and fails:
        fails = is_of_second_half(port_range, answer.port)
    elif answer.port is not None and reuse.hidden and pool.in_use >= pool.usable + pool.doubt.spare:
        hold_ms = reuse.delay_ms  # whose else could it be?
    pool = pool._replace(answer=answer, reuse_fails=False, waiting=pool.waiting._replace(hold_ms=hold_ms))
    if fails:
        return _without_reuse(pool)
    return _nothing_left(pool) if answer.lacks == probe.PORT else pool


def with_doubt(pool: Pool, doubt: Doubt) -> Pool:
    """Counting the ports that bind() has to avoid leaves no doubt, but for the one that a search leaves out."""
    if pool.kind != CONNECT:
        return pool._replace(doubt=SURE._replace(spare=doubt.spare if pool.kind == BIND else 0))
    pool = pool._replace(doubt=doubt)
    return _nothing_left(pool) if doubt.held else pool


def _nothing_left(pool: Pool) -> Pool:
    """Where the kernel says so, bind() holds all ports that the pool's own connections do not block."""
    left = pool.usable - pool.in_use
    return _with_held(pool, pool.held + left) if left > 0 and pool.blocked == pool.in_use else pool


def answer_key(pool: Pool, answer: Answer) -> Destination:
    """The pool's key with the source that the kernel chose, where no socket of it shows one."""
    source, address, port = pool.question
    return source or answer.source or address, address, port


def most_blocked(table: SocketTable, reuse: Reuse, number: int, only: Optional[Only] = None) -> List[Destination]:
    """The destinations with the most blocked ports, the worst first."""

    def order(destination: Destination) -> Tuple[int, int, Destination]:
        lasts_ms = _lasts_ms(destination, table, reuse)
        least = lowest_blocking_tick(reuse.hold_ms(destination, lasts_ms), lasts_ms, table.time_wait.shift)
        blocked = table.live[destination] + table.time_wait.count(destination, least)
        return -blocked, -table.time_wait.count(destination), destination

    every = (one for one in table.destinations() if only is None or only.matches(one))
    return heapq.nsmallest(number, every, key=order)


def unused_pool(only: Only, usable: int, reuse: Reuse, held: int) -> Pool:
    """That of a named destination that no socket belongs to."""
    hold_ms = reuse.hold_ms((only.address, only.address, only.port or 0))
    waiting = Waiting({}, hold_ms, reuse.lasts_ms())
    return _with_held(Pool(CONNECT, (None, only.address, only.port or 0), usable, 0, {}, waiting), held)


def how_sure(binders: Binders, usable: int, unseen: int, spare: int) -> Doubt:
    """usable: by those who have called bind() too. unseen: sockets that may be bound to ports although the kernel does
    not show them. spare: 1 for an odd range.

    Where bind() holds all ports, the second half is in use to the last.
    """
    missed = unseen + spare + binders.sockets // of_binders.CHURN
    more = binders.sockets + unseen >= usable and binders.second_left <= missed
    return Doubt(binders.sockets, len(binders.ports), more, None, spare)


def least_certain(pools: Iterable[Pool]) -> List[Pool]:
    """Those first of which counting does not tell whether a port is left; of the others, as they came."""
    return sorted(pools, key=lambda pool: pool.is_full)


def by_level(pools: Iterable[Pool], thresholds: Thresholds) -> List[Pool]:
    """The worst first; where two are equal, as they came."""
    return sorted(pools, key=lambda pool: (LEVELS.index(pool.level(thresholds)), -pool.saturation))


def level_of(saturation: float, thresholds: Thresholds) -> str:
    if saturation >= 1:
        return EXHAUSTED
    if saturation >= thresholds.critical:
        return CRITICAL
    return WARNING if saturation >= thresholds.warning else OK


def worst_level(pools: Sequence[Pool], usable: int, doubt: Doubt, thresholds: Thresholds) -> str:
    """That of the worst of the pools, which are sorted. Where no port is usable, no connect() succeeds."""
    local = _level_of_local([pool for pool in pools if pool.kind != SNAT], usable, doubt, thresholds)
    return min([local, *(pool.level(thresholds) for pool in pools[:1])], key=LEVELS.index)


def _level_of_local(pools: Sequence[Pool], usable: int, doubt: Doubt, thresholds: Thresholds) -> str:
    """Of the ports of this host's own connections."""
    if doubt.held or not usable + doubt.spare:
        return EXHAUSTED
    if pools:
        return pools[0].level(thresholds)
    if doubt.held is None and doubt.more:
        return UNKNOWN
    return OK if usable else CRITICAL

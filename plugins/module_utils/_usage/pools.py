# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port pools: the ports that one kind of use can take, and what follows from how many are taken. Pure.

A pool of the kind connect belongs to a source address, destination address and destination port: that is what a local
port of a connect() without bind() has to be unique for.
"""

import heapq
import ipaddress
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel.ports import PortRange, PortSet, client_ports, left_out, range_ports, second_half, usable_ports
from .._kernel.tcp import STATES, Destination
from .._kernel.time_wait import Reuse
from .._sockets.probe import PORT, Answer, Question
from .._sockets.socket_table import SocketTable
from . import forecast
from .options import Only, Thresholds
from .waiting import Waiting, lowest_blocking_tick

CONNECT = "connect"

LEVELS = ("exhausted", "critical", "warning", "unknown", "ok")
EXHAUSTED, CRITICAL, WARNING, UNKNOWN, OK = LEVELS

# The kernel is asked from this share of the level warning on.
_NEAR = 0.9
# Of so many sockets one may come, go or be passed over while they are counted.
_CHURN = 4096
# By how much numbers of sockets have to differ before anything is concluded from that.
_CLEARLY = 1.1

Sockstat = Mapping[str, Mapping[str, int]]


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


class Pool(NamedTuple):
    """usable: ports that can be taken at all. live: those that connections have; states: how many in each state.
    waiting: closed ones that the kernel still knows. answer: what the kernel says, if it was asked. doubt: why what was
    counted may not be all. reuse_fails: ports stay blocked that the sysctls say are reused. reuse_hidden: whether they
    are cannot be seen, as in a container on an old kernel.
    """

    kind: str
    key: Question
    usable: int
    live: int
    states: Mapping[str, int]
    waiting: Waiting
    answer: Optional[Answer] = None
    doubt: Doubt = SURE
    reuse_fails: bool = False
    reuse_hidden: bool = False

    @property
    def blocked(self) -> int:
        return self.live + self.waiting.blocking

    @property
    def in_use(self) -> int:
        """Ports of sockets in any state, whether or not they may be reused."""
        return self.live + self.waiting.number

    @property
    def saturation(self) -> float:
        return min(1.0, self.blocked / self.usable) if self.usable else 1.0

    @property
    def is_full(self) -> bool:
        """Whether it is certain, without asking, that no port is left. When a port may be reused is not."""
        never_reused = not self.waiting.reused and not self.reuse_hidden
        certain = self.live + (self.waiting.number if never_reused else 0)
        return certain >= self.usable + self.doubt.spare

    def level(self, thresholds: Thresholds) -> str:
        """As the kernel says where it was asked, and as counted where not."""
        counted = level_of(self.saturation, thresholds)
        if self.doubt.held or (self.answer and self.answer.lacks == PORT):
            return EXHAUSTED
        if self.answer and not self.answer.errno:
            return CRITICAL if counted == EXHAUSTED else counted
        if counted == EXHAUSTED and not self.is_full:
            return UNKNOWN
        return UNKNOWN if self.doubt.more and counted in (WARNING, OK) else counted

    def is_near(self, thresholds: Thresholds) -> bool:
        """Whether it is worth to ask the kernel: at warning or nearly so, whatever is thought to be reusable."""
        return self.in_use >= self.usable * thresholds.warning * _NEAR


def connect_pool(destination: Destination, table: SocketTable, usable: int, reuse: Reuse) -> Pool:
    waiting = _waiting(destination, table, reuse)
    each = {name: table.live_states[destination, number] for number, name in STATES.items()}
    states = {name: number for name, number in each.items() if number}
    pool = Pool(CONNECT, destination, usable, table.live[destination], states, waiting, reuse_hidden=reuse.hidden)
    return _without_reuse(pool) if (reuse.never_seen or reuse.hidden) and _looks_unused(pool) else pool


def _waiting(destination: Destination, table: SocketTable, reuse: Reuse) -> Waiting:
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
    if answer is None:
        return pool
    fails = pool.reuse_fails
    hold_ms = reuse.hold_ms(answer_key(pool, answer), pool.waiting.lasts_ms)
    if answer.lacks == PORT:
        fails = hold_ms < pool.waiting.lasts_ms and pool.in_use >= pool.usable and pool.waiting.number > 0
    elif answer.port is not None and fails:
        fails = bool((answer.port - port_range.low) % 2)
    elif answer.port is not None and reuse.hidden and pool.in_use >= pool.usable + pool.doubt.spare:
        hold_ms = reuse.delay_ms  # whose else could it be?
    pool = pool._replace(answer=answer, reuse_fails=False, waiting=pool.waiting._replace(hold_ms=hold_ms))
    return _without_reuse(pool) if fails else pool


def answer_key(pool: Pool, answer: Answer) -> Destination:
    """The pool's key with the source that the kernel chose, where no socket of it shows one."""
    source, address, port = pool.key
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


def unused_pool(only: Only, usable: int, reuse: Reuse) -> Pool:
    """That of a named destination that no socket belongs to."""
    hold_ms = reuse.hold_ms((only.address, only.address, only.port or 0))
    return Pool(CONNECT, (None, only.address, only.port or 0), usable, 0, {}, Waiting({}, hold_ms, reuse.lasts_ms()))


def how_sure(
    table: SocketTable, port_range: PortRange, reserved: PortSet, usable: int, unseen: int, two_pass: bool
) -> Doubt:
    """unseen: sockets that may be bound to ports although the kernel does not show them.

    connect() goes on to the second half of the ports only for a destination that uses up the first; bind() begins with
    the second. So what is in use there beyond what such destinations explain was chosen by bind(); and where all ports
    are held so, that half is in use to the last. One-pass kernels show no such thing.
    """
    clients = client_ports(port_range, reserved) - PortSet.of(table.listening | table.bound)
    second = second_half(port_range, clients)
    first, spare = len(clients) - second, left_out(port_range, two_pass)
    counts = [table.count(destination) for destination in table.destinations()]
    explained = sum(count - first for count in counts if count > first)
    missed = unseen + spare + sum(counts) // _CHURN
    more = sum(counts) + unseen >= usable and (not two_pass or second - len(table.second_half) <= missed)
    bound = max(0, len(table.second_half) - explained) if two_pass else 0
    return Doubt(sum(counts), bound, more, None, spare)


def least_certain(pools: Iterable[Pool]) -> List[Pool]:
    """Those first of which counting does not tell whether a port is left; of the others, as they came."""
    return sorted(pools, key=lambda pool: pool.is_full)


def by_level(pools: Iterable[Pool], thresholds: Thresholds) -> List[Pool]:
    """The worst first; of the same level, as they came."""
    return sorted(pools, key=lambda pool: LEVELS.index(pool.level(thresholds)))


def describe_pool(pool: Pool, thresholds: Thresholds) -> Dict[str, Any]:
    """One of the pools of a usage."""
    source, address, port = pool.key
    waiting = pool.waiting
    return {
        "kind": pool.kind,
        "source": source and str(ipaddress.ip_address(source)),
        "address": str(ipaddress.ip_address(address)),
        "port": port,
        "usable": pool.usable,
        "blocked": pool.blocked,
        "time_wait": waiting.number,
        "reusable": waiting.number - waiting.blocking,
        "live": pool.live,
        "states": pool.states,
        "hold_seconds": waiting.hold_ms / 1000,
        "time_wait_seconds": waiting.lasts_ms / 1000,
        "longest_left_seconds": None if waiting.longest_left_ms is None else round(waiting.longest_left_ms / 1000, 1),
        "saturation": round(pool.saturation, 4),
        "level": pool.level(thresholds),
        "probe": pool.answer and _describe_answer(pool.answer),
        "rate": {f"last_{seconds}s": round(waiting.closed_per_second(seconds * 1000), 1) for seconds in (1, 10, 60)},
        "trend": waiting.trend(),
        "forecast": forecast.forecast(waiting, pool.live, pool.usable, thresholds.critical)._asdict(),
    }


def _describe_answer(answer: Answer) -> Dict[str, Any]:
    return {**answer._asdict(), "source": answer.source and str(ipaddress.ip_address(answer.source))}


def level_of(saturation: float, thresholds: Thresholds) -> str:
    if saturation >= 1:
        return EXHAUSTED
    if saturation >= thresholds.critical:
        return CRITICAL
    return WARNING if saturation >= thresholds.warning else OK


def worst_level(pools: Sequence[Pool], usable: int, doubt: Doubt, thresholds: Thresholds) -> str:
    """The level of the first of the pools, which are sorted. Where no port is usable, no connect() succeeds."""
    if doubt.held or not usable + doubt.spare:
        return EXHAUSTED
    if pools:
        return pools[0].level(thresholds)
    if doubt.held is None and doubt.more:
        return UNKNOWN
    return OK if usable else CRITICAL


def describe_ports(
    port_range: PortRange, reserved: PortSet, table: Optional[SocketTable], two_pass: bool
) -> Dict[str, Any]:
    """The part port_range of a usage. A held port that is reserved too counts as reserved.

    Without a table it is not known which ports are held; usable is then what it would be if none were.
    """
    within = range_ports(port_range)
    held = PortSet.of(table.listening | table.bound) if table else PortSet()
    return {
        "low": port_range.low,
        "high": port_range.high,
        "size": port_range.size,
        "reserved": len(within & reserved),
        "held": len((within & held) - reserved) if table else None,
        "usable": usable_ports(port_range, reserved | held, two_pass),
    }


def describe_sockets(table: SocketTable) -> Dict[str, int]:
    """Sockets per state, each of the states of tcp(7) named."""
    return {name: table.states[number] for number, name in STATES.items()}


def blocked_at_most(sockstat: Sockstat) -> int:
    """A number that the blocked ports of no destination exceed, from /proc/net/sockstat and sockstat6.

    tw counts TIME_WAIT, and FIN_WAIT_2 without an owner, of IPv4 and IPv6. Up to Linux 4.10 it counts them for the
    whole host, so that in a container the number is too large rather than too small.
    """
    return sum(
        sockstat.get(name, {}).get(field, 0) for name, field in (("TCP", "inuse"), ("TCP", "tw"), ("TCP6", "inuse"))
    )


def sockstat_proves_ok(sockstat: Sockstat, usable: int, thresholds: Thresholds) -> bool:
    """Whether no destination can have reached the level warning, however the sockets are spread.

    A socket can also hold a port, bound but not connected, so that it is not usable. alloc counts those too, of IPv4
    and IPv6 and the whole host.
    """
    if "TCP" not in sockstat:
        return False
    return blocked_at_most(sockstat) < (usable - sockstat["TCP"]["alloc"]) * thresholds.warning

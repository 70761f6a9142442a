# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools of the kind snat: the ports that this host gives to connections whose source address it translates.

A host that tracks no connections pays one read for this, one that translates none a look at its rules. All entries are
read only where there are enough of them for a pool to be near a level.
"""

import collections
import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._kernel import features, sysctl
from .._kernel.counters import Conntrack, read_conntrack
from .._kernel.modules import has_modules, is_loaded
from .._kernel.ports import MAX_PORT
from .._nat import ctnetlink, procfs, source_rules
from .._nat.choice import FULLY_RANDOM, PLAIN, Ports
from .._nat.entries import ASSURED, ESTABLISHED, SRC_NAT, TCP, TIME_WAIT, Entries, Group, Key, states
from .._nat.source_rules import SourceRules
from .nat import Nat, Timeouts
from .options import Only, ScanOptions
from .pools import SNAT, Pool, Translation
from .waiting import Waiting

# Below this share of the narrowest range no search fails as often as is worth a warning.
_GATE = 0.15
# Who else translates sources, without a rule that can be read.
_OTHERS = ("openvswitch", "act_ct")

# nf_nat_l4proto_unique_tuple() tries so many ports in a row, then half as many from elsewhere, and so on, down to
# fewer than _LEAST. Of the last _HARDER of a row it takes those of closed connections too.
_ATTEMPTS, _LEAST, _HARDER = 128, 16, 32

_TICK_SHIFT = 8
_SECOND_MS = 1000
# An open connection of which nothing was heard for longer is idle: keep-alive of TCP speaks after two hours.
_IDLE_S = 7200

# What the kernel has where it does not say otherwise, in seconds.
_TIME_WAIT, _UDP, _ESTABLISHED = (
    ("net.netfilter.nf_conntrack_tcp_timeout_time_wait", 120),
    ("net.netfilter.nf_conntrack_udp_timeout", 30),
    ("net.netfilter.nf_conntrack_tcp_timeout_established", 432000),
)


class Fewest(NamedTuple):
    """What is looked at: keys of at least so many entries, and so many keys however few entries they have."""

    entries: int
    keys: int


def observe(options: ScanOptions, before: Conntrack, release: str, proc: str, is_own: bool) -> Nat:
    """is_own: whether this process is in the network namespace that proc shows."""
    is_full = options.detail == "full" or options.only is not None
    rules = source_rules.read(proc) if is_own else SourceRules((), False)
    if not may_translate(rules, proc):
        return Nat(before)
    fully_random = any(rule.flags & FULLY_RANDOM for rule in rules.rules) if rules.rules else None
    if rules.readable and not is_full and before.entries < rules.least * _GATE:
        return Nat(before, fully_random=fully_random)
    try:
        entries = read_entries(options.method, proc, is_own)
    except OSError:
        return Nat(before, (), before.entries, fully_random)
    after = read_conntrack(proc) or before
    dropped = max(after.insert_failed - before.insert_failed, after.drop - before.drop, 0)
    timeouts = _timeouts(proc)
    fewest = Fewest(1 if options.only else max(1, int(rules.least * _GATE)), options.max_pools if is_full else 0)
    found = find_pools(entries, rules, timeouts, fewest, options.only, features.nat_evicts(release), dropped)
    # Without the rules it is not known how narrow a range is.
    return Nat(before, tuple(found), 0 if rules.readable else before.entries, fully_random, timeouts)


def read_entries(method: str, proc: str, is_own: bool) -> Entries:
    """Through ctnetlink, unless that would load a module, or is not there. Raises OSError where neither may be read."""
    loaded = is_loaded("nf_conntrack_netlink", proc)
    shown = os.path.exists(os.path.join(proc, "net/nf_conntrack"))
    if not is_own or method == "procfs" or (shown and not loaded):
        return procfs.read(proc)
    try:
        return ctnetlink.read()
    except OSError:
        if method == "netlink" or not shown:
            raise
    return procfs.read(proc)


def find_pools(
    entries: Entries,
    rules: SourceRules,
    timeouts: Timeouts,
    fewest: Fewest,
    only: Optional[Only] = None,
    evicts: bool = False,
    dropped: int = 0,
) -> Iterator[Pool]:
    """One for each range that connections with the same key were given ports from.

    evicts: whether the kernel takes the ports of closed connections. dropped: connections, while entries were read.
    """
    for key, group in entries.largest(*fewest):
        if group.is_translated and (only is None or only.matches((key.source, key.address, key.port))):
            for ports in choices(key, group, rules):
                within = group.within(ports.low, ports.high)
                if within.ports:
                    yield _pool(key, ports, within, timeouts, evicts, dropped)


def choices(key: Key, group: Group, rules: SourceRules) -> List[Ports]:
    """The ranges of the rules, and where ports are in use that no rule explains, those of plain masquerade."""
    found = rules.choices(key)
    explained = bytearray(MAX_PORT + 1)
    for ports in found:
        explained[ports.low : ports.high + 1] = b"\1" * ports.size
    others = {port for port in set(group.with_status(SRC_NAT).ports) if not explained[port]}
    known = {(ports.low, ports.high) for ports in found}
    plain = [Ports(low, high) for low, high in PLAIN if (low, high) not in known]
    return found + [ports for ports in plain if any(ports.low <= port <= ports.high for port in others)]


def search_fails(taken: bytes, most: int = _ATTEMPTS) -> float:
    """How likely a search finds no port. taken: a byte for each of the range, 0 where it is free.

    most: ports that it looks at in a row. A range of no more than 128 ports is searched to the end.
    """
    size = len(taken)
    if 0 not in taken:
        return 1.0
    if size <= _ATTEMPTS:
        return 0.0
    at = taken.index(0)
    rows = [len(row) for row in (taken[at:] + taken[:at]).split(b"\0") if row]
    chance, length = 1.0, _ATTEMPTS
    while True:
        row = min(length, most)
        chance *= sum(number - row + 1 for number in rows if number >= row) / size
        if length < _LEAST:
            return chance
        length //= 2


def spread(seconds: Dict[int, int]) -> Dict[int, int]:
    """Numbers by whole seconds that are left, as ticks. What is within a second is taken for even."""
    found: Dict[int, int] = {}
    for second, number in seconds.items():
        start, done = second * _SECOND_MS, 0
        for tick in range(start >> _TICK_SHIFT, (start + _SECOND_MS - 1 >> _TICK_SHIFT) + 1):
            end = min(start + _SECOND_MS, tick + 1 << _TICK_SHIFT)
            so_far = number * (end - start) // _SECOND_MS
            if so_far > done:
                found[tick] = found.get(tick, 0) + so_far - done
            done = so_far
    return found


def _pool(key: Key, ports: Ports, group: Group, timeouts: Timeouts, evicts: bool, dropped: int) -> Pool:
    if key.protocol == TCP:
        closed, lasts = group.in_state(TIME_WAIT), timeouts.time_wait
    else:
        # What has not lasted for two seconds was one exchange, of which nothing more comes.
        closed, lasts = group.without_status(ASSURED), timeouts.udp
    named = states(group, key.protocol)
    for state in ("TIME_WAIT", "REPLIED", "UNREPLIED"):
        named.pop(state, None)
    taken = _taken(group, ports)
    used = taken.count(1)
    fails = search_fails(taken)
    if evicts and key.protocol == TCP and closed.ports:
        still = bytearray(taken)
        for port in closed.ports:
            still[port - ports.low] = 0
        fails = min(fails, search_fails(bytes(still), _HARDER))
    established = group.in_state(ESTABLISHED) if key.protocol == TCP else None
    idle = sum(left <= timeouts.established - _IDLE_S for left in established.left) if established else 0
    lasts_ms = lasts * _SECOND_MS
    waiting = Waiting(spread(collections.Counter(closed.left)), lasts_ms, lasts_ms, _TICK_SHIFT)
    nat = Translation(key.protocol, key.zone, ports, fails, fails >= 1, dropped, idle)
    live = used - len(closed.ports)
    return Pool(SNAT, (key.source, key.address, key.port), ports.size, live, dict(named), waiting, taken=used, nat=nat)


def _taken(group: Group, ports: Ports) -> bytes:
    found = bytearray(ports.size)
    low = ports.low
    for port in group.ports:
        found[port - low] = 1
    return bytes(found)


def _timeouts(proc: str) -> Timeouts:
    root = os.path.join(proc, "sys")

    def read(of: Tuple[str, int]) -> int:
        return int(sysctl.read(of[0], root) or of[1])

    return Timeouts(read(_TIME_WAIT), read(_UDP), read(_ESTABLISHED))


def may_translate(rules: SourceRules, proc: str) -> bool:
    """Whether sources may be translated in this network namespace, by these rules or by what has none of the kind."""
    if rules.rules or not rules.readable:
        return True
    # Without modules, what is built in translates nothing until a rule says so.
    return has_modules(proc) and any(is_loaded(name, proc) for name in _OTHERS)

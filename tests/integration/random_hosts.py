# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts by construction: small port ranges, filled at random in all the ways that the kernel tells apart."""

from __future__ import annotations

import contextlib
import errno
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .network import (
    BIND,
    BIND_ADDRESS,
    CONNECT,
    MAPPED,
    PINNED,
    Endpoint,
    Network,
    bind_for_real,
    connect_for_real,
    has_sysctl,
    peers_without_timestamps,
    send_for_real,
    set_sysctls,
)

IPV4 = ("198.18.0.1", "198.18.0.2", "127.0.0.1")
IPV6 = ("fd99::1", "fd99::2", "::1")
ADDED = (*IPV4[:2], *IPV6[:2])  # to those that lo has by itself
SERVICES = (443, 8080)
UNUSED = 9  # a port that no connection was ever made to
NOBODY_ANSWERS = 81

# Nothing in TIME_WAIT is old enough for a minute, or everything is at once.
YOUNG_MS, OLD_MS = 60000, 1


class Path(NamedTuple):
    """From where to where a connection would go. source: None for that which the route gives."""

    source: str | None
    to: Endpoint


class Reality(NamedTuple):
    """What programs meet: the errno of connect() on each path, and of bind() for each source, and of UDP."""

    connects: dict[Path, int]
    binds: dict[str, int]
    udp: int


class RandomHost:
    """Drawn from a seed. `story` says how it was made, for a test that fails."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.dice = random.Random(seed)
        self.story = [f"seed {seed}"]
        self.size = self.dice.choice([1, 2, 3, *[self.dice.randint(10, 60)] * 12])
        # One search leaves out a port of an odd range, another each time: whether the last one is found is luck. Not so
        # where it is the only one.
        self.is_odd = self.size % 2 == 1 and self.size > 1
        self.paths: list[Path] = []
        self.sources: set[str] = set()
        self.binders: Counter[str] = Counter()  # sockets of clients that called bind() before connect(), by source

    def build(self) -> None:
        self._set()
        for _turn in range(self.dice.randint(1, 5)):
            self._add(self.dice.choice(_WAYS))
        time.sleep(OLD_MS * 3 / 1000)  # what may be reused at once is by now
        anywhere = [(address, UNUSED) for address in (*IPV4, *IPV6)]
        self.paths += [Path(None, to) for to in self.dice.sample(anywhere, 2)]
        self.paths = list(dict.fromkeys(self.paths))

    def meet(self) -> Reality:
        """bind() first: it leaves nothing behind. A connect() of one path takes no port from another."""
        binds = {source: bind_for_real(source) for source in sorted(self.sources)}
        return Reality({path: connect_for_real(path.to, path.source) for path in self.paths}, binds, send_for_real())

    def _set(self) -> None:
        low = self.dice.randint(20000, 60000)
        high = low + self.size - 1
        reserved = sorted(self.dice.sample(range(low, high + 1), min(self.size, self.dice.choice([0, 0, 0, 1, 5]))))
        reuse = self.dice.choice([0, 1, 1, 2])
        settings: dict[str, object] = {
            "ip_local_port_range": f"{low} {high}",
            "ip_local_reserved_ports": ",".join(map(str, reserved)),
            "tcp_tw_reuse": reuse,
        }
        if has_sysctl("tcp_tw_reuse_delay"):
            settings["tcp_tw_reuse_delay"] = self.dice.choice([YOUNG_MS, OLD_MS])
        elif reuse:
            settings["tcp_tw_reuse"] = 0  # without the key, what may be reused is a matter of seconds
        set_sysctls(**settings)
        self.network.low, self.network.high = low, high
        self.story.append(str(settings))

    def _add(self, way: str) -> None:
        number = self.dice.choice([1, self.size // 3, self.size // 2, self.size - 1, self.size, self.size])
        to = (self.dice.choice([*IPV4, *IPV6]), self.dice.choice(SERVICES))
        how = self.dice.choice([CONNECT, CONNECT, BIND, BIND_ADDRESS, MAPPED])
        self.story.append(f"{way} {number} {to[0]}:{to[1]} {how}")
        done = getattr(self, f"_{way}")(to, number, how)
        self.story[-1] += f" from {self._source(to, how)}: {done}"

    def _source(self, to: Endpoint, how: str) -> str | None:
        """The second address of the family where a client calls bind(), so that it is not that of the route."""
        return None if how in (CONNECT, MAPPED) else (IPV6 if ":" in to[0] else IPV4)[1]

    def _connections(self, leave: str, to: Endpoint, number: int, how: str) -> int:
        if how == MAPPED and ":" in to[0]:
            how = CONNECT
        source = self._source(to, how)
        self.paths.append(Path(source, to))
        self.sources.add(source or to[0])
        done: int = getattr(self.network, leave)(to, number, source and (source, 0), how)
        self.binders[source or to[0]] += done * (how == BIND)
        return done

    def _time_wait(self, to: Endpoint, number: int, how: str) -> int:
        return self._connections("leave_time_wait", to, number, how)

    def _time_wait_without_timestamps(self, to: Endpoint, number: int, how: str) -> int:
        with peers_without_timestamps():
            return self._connections("leave_time_wait", to, number, how)

    def _established(self, to: Endpoint, number: int, how: str) -> int:
        return self._connections("leave_established", to, number, how)

    def _fin_wait2(self, to: Endpoint, number: int, how: str) -> int:
        return self._connections("leave_fin_wait2", to, number, how)

    def _close_wait(self, to: Endpoint, number: int, how: str) -> int:
        return self._connections("leave_close_wait", to, number, how)

    def _syn_sent(self, to: Endpoint, number: int, _how: str) -> int:
        silent = (to[0], NOBODY_ANSWERS + len(self.paths))
        self.paths.append(Path(None, silent))
        return self.network.leave_syn_sent(silent, number)

    def _pinned(self, to: Endpoint, number: int, _how: str) -> int:
        """A program that chooses ports itself: in a row, or at random."""
        source = self.dice.choice((IPV6 if ":" in to[0] else IPV4)[:2])
        every = range(self.network.low, self.network.high + 1)
        ports = self.dice.choice([every[:number], self.dice.sample(every, number)])
        leave = getattr(self.network, self.dice.choice(["leave_time_wait", "leave_established"]))
        done = sum(leave(to, 1, (source, port), PINNED) for port in ports)
        self.paths += [Path(None, to), Path(source, to)]
        self.sources.add(source)
        self.binders[source] += done
        return done

    def _own_range(self, to: Endpoint, number: int, how: str) -> int:
        """Clients that may have a part of the range only."""
        low = self.dice.randint(self.network.low, self.network.high)
        self.network.own_range = low, self.dice.randint(low, self.network.high)
        try:
            return self._connections("leave_established", to, number, how)
        finally:
            self.network.own_range = None

    def _bound(self, to: Endpoint, number: int, _how: str) -> int:
        """To one source or to several, which may share ports."""
        sources = [to[0], *self.dice.sample(IPV4, self.dice.randint(0, 2))]
        self.sources.update(sources)
        return sum(self.network.bind(self.dice.choice(sources)) == 0 for _turn in range(number))

    def _udp(self, _to: Endpoint, number: int, _how: str) -> int:
        return self.network.open_udp(number)

    def _listening(self, to: Endpoint, number: int, _how: str) -> int:
        ports = self.dice.sample(range(self.network.low, self.network.high + 1), min(number, 10))
        self.sources.add(to[0])
        done = 0
        for port in ports:
            with contextlib.suppress(OSError):
                self.network.listen(to[0], port)
                done += 1
        return done


_WAYS = (
    *["time_wait"] * 3,
    "time_wait_without_timestamps",
    "established",
    "fin_wait2",
    "close_wait",
    "syn_sent",
    "pinned",
    "own_range",
    "bound",
    "listening",
    "udp",
)


def random_hosts(seeds: range) -> Iterator[RandomHost]:
    """One after another, each in a network of its own that this process is in."""
    for seed in seeds:
        with Network(32768, 60999, *ADDED) as network:
            host = RandomHost(network, seed)
            host.build()
            yield host


def has_port(failed: int) -> bool:
    """Whether a connect() or bind() found a port. Any other error than these would be the test's own fault."""
    assert failed in (0, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN), failed
    return failed == 0

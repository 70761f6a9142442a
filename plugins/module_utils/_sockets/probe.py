# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the kernel whether a program that wants a local port gets one, instead of concluding it from counted sockets.

dry_connect() is the question for a destination. A socket in repair mode (TCP_REPAIR, Linux 3.5) chooses route, source
address and local port in connect() as any other socket does, and is then taken for connected although nothing was
sent: no segment, nothing in connection tracking. Closing it is as silent; the kernel counts it in EstabResets. It needs
CAP_NET_ADMIN in the user namespace that owns the network namespace. A port in TIME_WAIT that may be reused is found by
reusing it: each dry connect can end one such socket early, as any connect() can.

dry_bind(), dry_udp_bind(), binders_hold_all() and has_source() are the questions of those who lack that privilege.

Addresses are 4 or 16 bytes in network order: no name is ever looked up.
"""

import errno
import functools
import socket
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .._common.errors import UnsupportedError

# Not in the socket module of Python 3.6: include/uapi/linux/tcp.h and in.h.
_TCP_REPAIR = 19
_IP_BIND_ADDRESS_NO_PORT = 24  # since Linux 4.2

# What a connect() that fails did not find.
PORT, ADDRESS, ROUTE = "port", "address", "route"

# The search is timed by a median, for one may be disturbed; a search that takes long or finds nothing is not repeated.
_ASKS = 3
_ENOUGH_US = 2000.0

_LOOPBACK = socket.inet_aton("127.0.0.1")
_ANY = bytes(4)
_ANY_PORT = 1
_OTHER_PORTS = range(1025, 65536, 4999)
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH)
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


# All dry connects of one observation together, in seconds.
LIMIT_S = 0.09

# Source (None for that of the route), address and port.
Question = Tuple[Optional[bytes], bytes, int]


class NotAllowedError(UnsupportedError):
    """This process lacks the privilege that a dry connect needs."""


class Answer(NamedTuple):
    """What the kernel said.

    errno: 0 where a port was found. lacks: what was not found: PORT, ADDRESS (none to connect from, as where IPv6 is
    switched off), ROUTE, or None where it is neither. source, port: what was chosen, None unless errno is 0.
    search_us: how long the search for a port took, the median of those asked; None where there was no search.
    """

    errno: int
    lacks: Optional[str]
    source: Optional[bytes]
    port: Optional[int]
    search_us: Optional[float]
    asked: int


class _Attempt(NamedTuple):
    errno: int
    chosen: Optional[Tuple[bytes, int]]
    took_us: float


def dry_connect(source: Optional[bytes], address: bytes, port: int) -> Answer:
    """Whether connect() to this destination finds a local port, from this source or from that which the route gives.

    Raises NotAllowedError, or UnsupportedError where the kernel has no dry connect to this destination.
    """
    attempts = _ask(lambda: _try_connect(source, address, port))
    failed = attempts[-1].errno
    return _answer(attempts, _what_lacks(failed, source, address))


def dry_connects(questions: Iterable[Question], limit_s: float = LIMIT_S) -> Dict[Question, Answer]:
    """Ask one after the other; what could take longer than the time that is left has no answer. Raises NotAllowedError.

    A search that has begun cannot be cut short: that the next one takes as long as the slowest so far is expected.
    """
    answers: Dict[Question, Answer] = {}
    end, slowest = time.monotonic() + limit_s, 0.0
    for question in questions:
        began = time.monotonic()
        if began + slowest >= end:
            break
        try:
            answers[question] = dry_connect(*question)
        except NotAllowedError:
            raise
        except UnsupportedError:
            continue
        slowest = max(slowest, time.monotonic() - began)
    return answers


def dry_bind(source: bytes) -> Answer:
    """Whether bind() to this source and port 0 finds a local port that no socket of this source uses."""
    attempts = _ask(lambda: _try_bind(source))
    failed = attempts[-1].errno
    return _answer(attempts, PORT if failed == errno.EADDRINUSE else _what_lacks(failed, source, source))


def dry_udp_bind() -> Answer:
    """Whether a UDP socket that wants any port gets one, on all addresses of IPv4."""
    attempts = _ask(lambda: _try_bind(_ANY, socket.SOCK_DGRAM))
    return _answer(attempts, PORT if attempts[-1].errno == errno.EADDRINUSE else None)


def binders_hold_all() -> Optional[bool]:
    """Whether listeners and sockets that called bind() have every port, so that no connect() gets one anywhere.

    The question is a connect() to port 0 of 127.0.0.1, where nobody can listen: a dry one if that is allowed, else a
    real one, and so a segment over the loopback interface. None where there is no such interface to ask through.
    """
    try:
        failed, lacks = dry_connect(None, _LOOPBACK, 0)[:2]
    except UnsupportedError:
        with socket.socket() as client:
            client.setblocking(False)
            failed = client.connect_ex((_text(_LOOPBACK), 0))
        lacks = _what_lacks(failed, None, _LOOPBACK)
    return None if lacks in (ADDRESS, ROUTE) else lacks == PORT


def has_source(address: bytes, source: Optional[bytes] = None) -> Optional[bool]:
    """Whether there is a local address to connect from: the other meaning of an EADDRNOTAVAIL.

    A datagram socket needs the same route and source. It sends nothing, and needs no privilege; None where it fails
    for reasons of its own. Where UDP is out of ports as well, it takes one that is none of the range.
    """
    try:
        client = socket.socket(_family(address), socket.SOCK_DGRAM)
    except OSError:
        return False
    with client:
        refused = 0 if source is None else _errno_of(lambda: client.bind((_text(source), 0)))
        refused = refused or client.connect_ex((_text(address), _ANY_PORT))
        if refused in (errno.EAGAIN, errno.EADDRINUSE):
            local = _text(source or bytes(len(address)))
            if any(not _errno_of(functools.partial(client.bind, (local, port))) for port in _OTHER_PORTS):
                refused = client.connect_ex((_text(address), _ANY_PORT))
    return {0: True, errno.EADDRNOTAVAIL: False}.get(refused)


def route_source(address: bytes) -> Optional[bytes]:
    """The source address that the route to this address gives, None where there is none. Nothing is sent."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
            client.connect((_text(address), _ANY_PORT))
            return _name_of(client)[0]
    except OSError:
        return None


def _ask(attempt: Callable[[], _Attempt]) -> List[_Attempt]:
    """The same question several times, the newest answer last; not again once the search has taken long, or failed."""
    attempts = [attempt()]
    while len(attempts) < _ASKS and not attempts[-1].errno and sum(one.took_us for one in attempts) < _ENOUGH_US:
        attempts.append(attempt())
    return attempts


def _answer(attempts: List[_Attempt], lacks: Optional[str]) -> Answer:
    last = attempts[-1]
    source, port = last.chosen or (None, None)
    times = sorted(one.took_us for one in attempts)
    searched = last.errno == 0 or lacks == PORT
    median = round(times[len(times) // 2], 1) if searched else None
    return Answer(last.errno, lacks, source, port, median, len(attempts))


def _try_connect(source: Optional[bytes], address: bytes, port: int) -> _Attempt:
    try:
        client = socket.socket(_family(address))
    except OSError as error:
        return _Attempt(error.errno or errno.EAFNOSUPPORT, None, 0.0)
    with client:
        client.setblocking(False)
        if source is not None:
            failed = _choose_source(client, source, address)
            if failed:
                return _Attempt(failed, None, 0.0)
        _enter_repair(client)
        return _timed(client, lambda: client.connect_ex((_text(address), port)))


def _choose_source(client: socket.socket, source: bytes, address: bytes) -> int:
    """The errno of bind() without a port. In repair mode it must not be called: that would share ports."""
    try:
        client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    except OSError as error:
        if route_source(address) == source:  # chosen anyway
            return 0
        raise UnsupportedError(f"a source address without a port: {error.strerror}") from error
    return _errno_of(lambda: client.bind((_text(source), 0)))


def _enter_repair(client: socket.socket) -> None:
    try:
        client.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        entered = client.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise NotAllowedError("TCP_REPAIR needs CAP_NET_ADMIN") from error
        raise UnsupportedError(f"TCP_REPAIR: {error.strerror}") from error
    if not entered:  # then connect() would be a real one
        raise UnsupportedError("TCP_REPAIR has no effect")


def _try_bind(source: bytes, kind: int = socket.SOCK_STREAM) -> _Attempt:
    try:
        client = socket.socket(_family(source), kind)
    except OSError as error:
        return _Attempt(error.errno or errno.EAFNOSUPPORT, None, 0.0)
    with client:
        return _timed(client, lambda: _errno_of(lambda: client.bind((_text(source), 0))))


def _timed(client: socket.socket, call: Callable[[], int]) -> _Attempt:
    start = time.perf_counter()
    failed = call()
    took_us = (time.perf_counter() - start) * 1e6
    if failed:
        return _Attempt(failed, None, took_us)
    return _Attempt(0, _name_of(client), took_us)


def _name_of(client: socket.socket) -> Tuple[bytes, int]:
    name = client.getsockname()
    return socket.inet_pton(client.family, name[0].partition("%")[0]), name[1]


def _what_lacks(failed: int, source: Optional[bytes], address: bytes) -> Optional[str]:
    """What a failing connect() did not find; None too where an EADDRNOTAVAIL cannot be told."""
    if failed in _NO_ROUTE:
        return ROUTE
    if failed in _NO_FAMILY:
        return ADDRESS
    if failed != errno.EADDRNOTAVAIL:
        return None
    known = has_source(address, source)
    return None if known is None else PORT if known else ADDRESS


def _errno_of(call: Callable[[], None]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _family(address: bytes) -> socket.AddressFamily:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def _text(address: bytes) -> str:
    return socket.inet_ntop(_family(address), address)

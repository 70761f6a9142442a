# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded churn of short HTTP connections through libcurl: each one is new, and closed by this side first."""

import collections
import resource
import select
import socket
import time
from array import array
from contextlib import suppress
from typing import Counter, Dict, List, NamedTuple, Optional, Set, Tuple

from .._common.errors import OptionError

try:
    import pycurl

    IMPORT_ERROR: Optional[str] = None
except ImportError as error:
    pycurl = None
    IMPORT_ERROR = str(error)

_USER_AGENT = "netops.ephemeral_ports curl_stress"
_TIMED_OUT = 28  # CURLE_OPERATION_TIMEDOUT
LATE_STARTS = 0.05  # seconds of a delay that are made up for
_OTHER_FILES = 64  # open files besides connections
_WRITE_ERROR = 23  # CURLE_WRITE_ERROR
MOST_READ = 64 * 1024  # bytes of an answer


class Limits(NamedTuple):
    """Connections, seconds, connections per second (0: as fast as possible), connections at a time, seconds."""

    total: int
    time_limit: float
    rate: float
    concurrency: int
    connect_timeout: float


class LoadResult(NamedTuple):
    """What became of the attempts; every one either succeeded or is in errors.

    errors: (curl code, OS errno) to count. connect_seconds: one for each success, without the name lookup. stopped_by:
    total (all of them started and finished) or time_limit. cut_off: successes with an answer longer than MOST_READ.
    """

    succeeded: int
    errors: Dict[Tuple[int, int], int]
    connect_seconds: "array[float]"
    seconds: float
    stopped_by: str
    cut_off: int


class Answer:
    """What a server sends for one connection: it is counted, up to MOST_READ, and not kept."""

    def __init__(self) -> None:
        self.read = 0

    def take(self, part: bytes) -> int:
        """Called by libcurl, which ends the connection where fewer bytes are taken than there are."""
        self.read += len(part)
        return 0 if self.is_cut_off else len(part)

    @property
    def is_cut_off(self) -> bool:
        return self.read > MOST_READ


class Pace:
    """An even schedule: one start every 1/rate seconds.

    A client that was held up makes up for LATE_STARTS seconds at most. What it missed beyond that is let go: a burst of
    more connections than there are free ports would be another experiment.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._next = now

    def wait(self, now: float) -> float:
        """Seconds until the next start is due; 0 when it is."""
        return max(0.0, self._next - now)

    def started(self, now: float) -> None:
        self._next = max(self._next, now - LATE_STARTS) + self._interval


def constants() -> Dict[str, int]:
    """Everything that pycurl defines by name, such as {"E_COULDNT_CONNECT": 7}."""
    names: Dict[str, int] = vars(pycurl)
    return names


def allow_open_files(concurrency: int) -> None:
    """Raise the soft limit of open files as far as needed. Raises OptionError where the hard limit is too low.

    libcurl's resolver takes two more for each connection whose name is being looked up; those are not insisted on.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 3 * concurrency + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
        if hard < concurrency + _OTHER_FILES:
            raise OptionError(f"concurrency {concurrency} is too high: this process may open {hard} files at most")
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def addresses(url: str, time_limit: float) -> List[bytes]:
    """What libcurl would connect to, packed: each address that it finds for the host of the URL, without connecting."""
    found: List[bytes] = []

    def refuse(_purpose: int, target: "pycurl.CurlSockAddr") -> int:
        found.append(socket.inet_pton(target.family, target.addr[0]))
        nobody: int = pycurl.SOCKET_BAD
        return nobody

    easy = _easy(url, time_limit)
    easy.setopt(pycurl.OPENSOCKETFUNCTION, refuse)
    with suppress(pycurl.error):
        easy.perform()
    easy.close()
    return found


def churn(url: str, limits: Limits) -> LoadResult:
    """Open connections until the total or the time limit is reached.

    After the time limit nothing is started any more. Attempts under way then have connect_timeout seconds to finish;
    what has not finished by then is cut off, and counted as timed out.
    """
    engine = _Engine()
    idle = [_easy(url, limits.connect_timeout) for _unused in range(min(limits.concurrency, limits.total))]
    answers: Dict[pycurl.Curl, Answer] = {}
    busy: Set[pycurl.Curl] = set()
    errors: Counter[Tuple[int, int]] = collections.Counter()
    connect_seconds = array("d")
    attempted = cut_off = 0
    begin = now = time.monotonic()
    last_start = begin + limits.time_limit
    last_moment = last_start + limits.connect_timeout
    pace = Pace(limits.rate, begin)
    try:
        while now < last_moment:
            in_time = now < last_start
            while in_time and idle and attempted < limits.total and not pace.wait(now):
                handle = idle.pop()
                busy.add(handle)
                answers[handle] = _listen(handle)
                engine.multi.add_handle(handle)
                attempted += 1
                pace.started(now)
            more = in_time and attempted < limits.total
            if not (busy or more):
                break
            wait = (last_start if in_time else last_moment) - now
            if idle and more:
                wait = min(wait, pace.wait(now))
            engine.work(wait)
            for handle, error in engine.finished():
                if error is None or (error[0] == _WRITE_ERROR and answers[handle].is_cut_off):
                    cut_off += answers[handle].is_cut_off
                    connect_seconds.append(handle.getinfo(pycurl.CONNECT_TIME) - handle.getinfo(pycurl.NAMELOOKUP_TIME))
                else:
                    errors[error] += 1
                busy.remove(handle)
                idle.append(handle)
            now = time.monotonic()
        if busy:
            errors[_TIMED_OUT, 0] += len(busy)
    finally:
        engine.close(busy)
    stopped_by = "total" if attempted == limits.total and not busy else "time_limit"
    return LoadResult(
        len(connect_seconds), dict(errors), connect_seconds, time.monotonic() - begin, stopped_by, cut_off
    )


def _easy(url: str, connect_timeout: float) -> "pycurl.Curl":
    """A handle that can be used again and again, and connects anew each time."""
    easy = pycurl.Curl()
    for option, value in (
        (pycurl.URL, url),
        (pycurl.PROXY, ""),  # the load goes where the user points, whatever the environment says
        (pycurl.FRESH_CONNECT, 1),
        (pycurl.FORBID_REUSE, 1),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.FAILONERROR, 1),
        (pycurl.NOSIGNAL, 1),
        (pycurl.CONNECTTIMEOUT_MS, max(1, int(connect_timeout * 1000))),
        (pycurl.USERAGENT, _USER_AGENT),
    ):
        easy.setopt(option, value)
    return easy


def _listen(easy: "pycurl.Curl") -> Answer:
    answer = Answer()
    easy.setopt(pycurl.HEADERFUNCTION, answer.take)
    easy.setopt(pycurl.WRITEFUNCTION, answer.take)
    return answer


class _Engine:
    """libcurl's multi interface on epoll: select() would stop at descriptor 1,023, and walk over all handles."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._watched: Set[int] = set()
        self._timer: Optional[float] = None
        self._interests = {
            pycurl.POLL_IN: select.EPOLLIN,
            pycurl.POLL_OUT: select.EPOLLOUT,
            pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
        }
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def work(self, wait: float) -> None:
        """Let libcurl do what is due now, or within wait seconds."""
        if self._timer is not None:
            wait = max(0.0, min(wait, self._timer - time.monotonic()))
        for descriptor, _events in self._poll.poll(wait):
            self.multi.socket_action(descriptor, 0)  # 0: libcurl looks for itself what has happened
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            self.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def finished(self) -> "List[Tuple[pycurl.Curl, Optional[Tuple[int, int]]]]":
        """Handles that are done, each with None or its (curl code, OS errno)."""
        done: List[Tuple[pycurl.Curl, Optional[Tuple[int, int]]]] = []
        remaining = 1
        while remaining:
            remaining, succeeded, failed = self.multi.info_read()
            done.extend((handle, None) for handle in succeeded)
            done.extend((handle, (code, handle.getinfo(pycurl.OS_ERRNO))) for handle, code, _text in failed)
        for handle, _error in done:
            self.multi.remove_handle(handle)
        return done

    def close(self, busy: "Set[pycurl.Curl]") -> None:
        for handle in busy:
            self.multi.remove_handle(handle)
        self.multi.close()
        self._poll.close()

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        """Called by libcurl: which sockets it waits for, and for what."""
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            with suppress(OSError):  # closed already, and so forgotten by the kernel
                self._poll.unregister(descriptor)
        elif descriptor in self._watched:
            self._poll.modify(descriptor, self._interests[what])
        else:
            self._poll.register(descriptor, self._interests[what])
            self._watched.add(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        """Called by libcurl: when it wants to be called if nothing happens; -1 for never."""
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

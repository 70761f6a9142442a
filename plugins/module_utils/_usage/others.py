# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each of the other network namespaces of a host says.

An idle one costs its counters; only what those do not prove to be well is read socket by socket, so that the number of
namespaces does not multiply the one dump that a loaded one takes.
"""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .._common.errors import Error, NamespaceError
from .._kernel import namespaces
from .._kernel.counters import PROC
from .._sockets.known import Known
from .pools import LEVELS

# So many namespaces are returned, the worst first; all count for the level.
MOST_RETURNED = 100

Usage = Dict[str, Any]
# Observes a namespace from within, given the kernel's cookie of it.
Within = Callable[[Known, Optional[int]], Usage]


class Found(NamedTuple):
    """usages: of those that were observed, the worst first. refused: how many at least only root may observe."""

    usages: List[Usage]
    refused: int


def observe_others(chosen: Iterable[Known], within: Within, outside: Callable[[str], Usage], proc: str = PROC) -> Found:
    """Observe each from within; where that is refused, from outside by the /proc/PID of a process of it.

    One that ends meanwhile is passed over.
    """
    usages: List[Usage] = []
    refused: List[Known] = []
    for one in chosen:
        try:
            usage, is_refused = _observe(one, within, outside, proc)
        except NamespaceError as error:
            if not error.ended:
                refused.append(one)
            continue
        if is_refused:
            refused.append(one)
        usages.append(usage)
    return Found(sorted(usages, key=_badness), at_least(refused))


def at_least(known: Sequence[Known]) -> int:
    """How many these are. One that is mounted may be that of processes which do not tell theirs, too."""
    mounted = sum(one.namespace.pid is None for one in known)
    hidden = sum(one.namespace.inode is None for one in known)
    return len(known) - min(mounted, hidden)


def _observe(one: Known, within: Within, outside: Callable[[str], Usage], proc: str) -> Tuple[Usage, bool]:
    """Its usage, and whether entering it was refused."""
    try:
        with namespaces.inside(one.namespace, proc):
            cookie = namespaces.cookie()
            return {**_read(one, within, cookie), "namespace": one.describe(cookie)}, False
    except NamespaceError as error:
        if error.ended or one.namespace.pid is None:
            raise
    try:
        return {**outside(f"{proc}/{one.namespace.pid}"), "namespace": one.describe(None)}, True
    except OSError as error:
        raise NamespaceError("it has ended", ended=True) from error


def _read(one: Known, within: Within, cookie: Optional[int]) -> Usage:
    """What one namespace does not tell must not cost the others; that it cannot be left again must."""
    try:
        return within(one, cookie)
    except (OSError, Error) as error:
        raise NamespaceError(str(error), ended=False) from error


def _badness(usage: Usage) -> Tuple[int, float]:
    worst = usage["pools"][0]["saturation"] if usage["pools"] else 0.0
    return LEVELS.index(usage["level"]), -worst

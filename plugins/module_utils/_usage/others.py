# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other network namespaces of a host: whose they are, which of them are wanted, and what each of them says.

An idle one costs its counters; only what those do not prove to be well is read socket by socket, so that the number of
namespaces does not multiply the one dump that a loaded one takes.
"""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .._common.errors import Error, NamespaceError, OptionError
from .._kernel import namespaces
from .._kernel.counters import PROC
from .._kernel.namespaces import Namespace
from .._sockets import owners
from .._sockets.owners import Owner
from .pools import LEVELS

ALL, OWN = "all", "own"

# Where ip-netns(8) mounts what it gives a name. CNI and engines mount there too, under names of their own making.
_NAMED = ("/run/netns", "/var/run/netns")
# So many namespaces are returned, the worst first; all count for the level.
MOST_RETURNED = 100
_NAMED_IN_ERROR = 10

Usage = Dict[str, Any]


class Known(NamedTuple):
    """A network namespace: the name that it is mounted under, the owner and the program of its oldest process."""

    namespace: Namespace
    name: Optional[str]
    owner: Optional[Owner]
    program: Optional[str] = None

    def is_called(self, wanted: str) -> bool:
        names = [self.name, str(self.namespace.inode)]
        if self.owner:
            names += [self.owner.name, self.owner.id, f"{self.owner.kind} {self.owner.name}"]
        return wanted in names

    def describe(self) -> Dict[str, Any]:
        """The part namespace of a usage."""
        owner = self.owner and dict(self.owner._asdict())
        return {
            "own": False,
            "inode": self.namespace.inode,
            "name": self.name,
            "owner": owner,
            "pid": self.namespace.pid,
            "program": self.program,
        }


class Found(NamedTuple):
    """usages: of those that were observed, the worst first. refused: how many only root may observe."""

    usages: List[Usage]
    refused: int


def know(proc: str = PROC, files: Optional[owners.Files] = None) -> List[Known]:
    """Every other network namespace of this host, and whose it is."""
    files = files or owners.Files()
    found = namespaces.find_others(proc)
    return [Known(one, _name(one), _owner(one, files, proc), _program(one, proc)) for one in found]


def choose(known: Sequence[Known], wanted: Sequence[str]) -> List[Known]:
    """Those that are called so. Raises OptionError where one that is wanted is none of this host's."""
    if ALL in wanted:
        return list(known)
    for name in wanted:
        if name != OWN and not any(one.is_called(name) for one in known):
            raise OptionError(f"namespaces: this host has no network namespace {name!r}; {_which(known)}")
    return [one for one in known if any(one.is_called(name) for name in wanted)]


def observe_others(
    chosen: Iterable[Known], within: Callable[[], Usage], outside: Callable[[str], Usage], proc: str = PROC
) -> Found:
    """Observe each from within; where that is refused, from outside by the /proc/PID of a process of it.

    One that ends meanwhile is passed over.
    """
    usages: List[Usage] = []
    refused = 0
    for one in chosen:
        try:
            usage, is_refused = _observe(one, within, outside, proc)
        except NamespaceError as error:
            refused += not error.ended
            continue
        refused += is_refused
        usages.append({**usage, "namespace": one.describe()})
    return Found(sorted(usages, key=_badness), refused)


def _observe(one: Known, within: Callable[[], Usage], outside: Callable[[str], Usage], proc: str) -> Tuple[Usage, bool]:
    try:
        with namespaces.inside(one.namespace, proc):
            return _read(within), False
    except NamespaceError as error:
        if error.ended or one.namespace.pid is None:
            raise
    try:
        return outside(f"{proc}/{one.namespace.pid}"), True
    except OSError as error:
        raise NamespaceError("it has ended", ended=True) from error


def _read(within: Callable[[], Usage]) -> Usage:
    """What one namespace does not tell must not cost the others; that it cannot be left again must."""
    try:
        return within()
    except (OSError, Error) as error:
        raise NamespaceError(str(error), ended=False) from error


def _badness(usage: Usage) -> Tuple[int, float]:
    worst = usage["pools"][0]["saturation"] if usage["pools"] else 0.0
    return LEVELS.index(usage["level"]), -worst


def _name(namespace: Namespace) -> Optional[str]:
    directory, _slash, name = (namespace.mount or "").rpartition("/")
    return name if directory in _NAMED else None


def _owner(namespace: Namespace, files: owners.Files, proc: str) -> Optional[Owner]:
    text = _of_process(namespace, "cgroup", proc)
    return owners.owner_of(text, files) if text is not None else None


def _program(namespace: Namespace, proc: str) -> Optional[str]:
    text = _of_process(namespace, "comm", proc)
    return text.rstrip("\n") if text is not None else None


def _of_process(namespace: Namespace, name: str, proc: str) -> Optional[str]:
    """A file of its oldest process; None where that has ended, or there is none."""
    try:
        return None if namespace.pid is None else owners.read_file(f"{proc}/{namespace.pid}/{name}")
    except OSError:
        return None


def _which(known: Sequence[Known]) -> str:
    names = sorted({str(one.name or (one.owner and one.owner.name) or one.namespace.inode) for one in known})
    if not names:
        return "it has none but its own"
    more = f" and {len(names) - _NAMED_IN_ERROR} more" if len(names) > _NAMED_IN_ERROR else ""
    return f"it has {', '.join(names[:_NAMED_IN_ERROR])}{more}"

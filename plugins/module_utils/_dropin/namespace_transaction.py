# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change running values of network namespaces that are held open: of all of them, or of none.

The journal notes how things are before the first value is written. A failure on the way, or the next run, rolls
everything back.
"""

import errno
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._common.errors import NamespaceError, OptionError, format_os_error
from .._kernel import features, keys, namespaces, sysctl
from .._sockets.known import Known
from . import namespace_journal
from .dropin import ApplyError
from .journal import History, Snapshot
from .namespace_journal import Entry
from .ownership import extend_history, keep_keys, values_to_restore
from .preflight import check_directories, check_keys, take_values, what_is_wrong
from .result import KeyResult, key_result
from .running import KernelError, order_writes, verify, write_values
from .syntax import Assignment

_BOUNDS = (keys.PORT_RANGE, keys.UNPRIVILEGED_PORT_START)
_FULL = (errno.ENOSPC, errno.EDQUOT)

Values = Dict[str, str]


class Place(NamedTuple):
    """A namespace that is held open. entry: what the journal says of it. values: to set, None to roll back."""

    known: Known
    cookie: Optional[int]
    descriptor: int
    entry: Optional[Entry]
    values: Optional[Values]

    @property
    def inode(self) -> Optional[int]:
        return self.known.namespace.inode

    @property
    def title(self) -> str:
        return self.known.title()

    @property
    def history(self) -> Optional[History]:
        return self.entry and self.entry.history

    def describe(self) -> Dict[str, Any]:
        return self.known.describe(self.cookie)


class Start(NamedTuple):
    """How things are as a run begins. entries: what the journal says. assumed: running values that check mode has to
    take instead of the real ones, by inode."""

    state_dir: str
    boot: str
    entries: List[Entry]
    places: List[Place]
    check: bool
    assumed: Mapping[Optional[int], Values]


class Change(NamedTuple):
    """What is to be done in a namespace. wanted: None where a key is rolled back. history: for the journal."""

    place: Place
    wanted: Mapping[str, Optional[str]]
    current: Mapping[str, Optional[str]]
    target: Values
    history: Optional[History]
    warnings: Sequence[str]

    @property
    def now(self) -> Values:
        return {key: self.current[key] or "" for key in self.target}

    @property
    def writes(self) -> List[Tuple[str, str]]:
        return order_writes(self.now, self.target)

    def results(self) -> List[KeyResult]:
        return [key_result(key, self.current[key], self.wanted[key], self.target.get(key)) for key in self.current]

    def entry(self, boot: str) -> Optional[Entry]:
        """For the journal. What was so from the start is not ours to roll back; it is noted only beside what is."""
        if self.history is None or not (self.writes or self.place.history):
            return None
        earlier = self.place.entry
        return Entry(boot, earlier.namespace if earlier else self.place.describe(), self.history)


# A key in a namespace, which is known by its inode.
Key = Tuple[Optional[int], str]
Prepare = Callable[[Place, Set[Key]], Change]


class RefusedError(ApplyError):
    """The kernel does not take the value of a key, and everything is as before."""

    def __init__(self, words: str, key: Key) -> None:
        super().__init__(words)
        self.key = key


def recover(start: Start) -> Start:
    """With what an interrupted run left half done rolled back, or in check mode assumed to be. Raises ApplyError."""
    assumed: Dict[Optional[int], Values] = {}
    for place in start.places:
        if place.entry and place.entry.pending is not None:
            with namespaces.within(place.descriptor):
                pending = {key: value for key, value in place.entry.pending.items() if sysctl.read(key) is not None}
                if not start.check:
                    _write_back(start, place, pending)
            assumed[place.inode] = pending
    entries = [entry._replace(pending=None) for entry in start.entries]
    if start.check:
        return start._replace(entries=entries, assumed=assumed)
    namespace_journal.save(start.state_dir, entries)
    return start._replace(entries=entries)


def prepare(start: Start, place: Place, asked: str, only: Sequence[str], kept: Set[Key]) -> Change:
    """Decide what to do where this thread is: set the values that are wanted, and roll back what is not any more.

    asked: reserved ports that were asked for by name. only: the keys to roll back, all where it names none. kept: keys
    that the kernel has refused to roll back already. Raises OptionError for what the kernel would refuse.
    """
    named = place.values or {}
    before, applied = (place.history.origin.values, place.history.applied.values) if place.history else ({}, {})
    dropped = [key for key in applied if key not in named and (not only or key in only)]
    assumed = start.assumed.get(place.inode, {})
    running = {key: assumed.get(key, sysctl.read(key)) for key in [*named, *dropped, *_BOUNDS]}
    version = features.parse_version(features.release(sysctl.PROC_SYS))
    _check(place, named, running, version)
    values = values_to_restore(before, applied, {key: running[key] for key in dropped})
    free = {key: value for key, value in values.items() if (place.inode, key) not in kept}
    taken = take_values(free, {**running, **named}, version)
    refused = {**taken.refused, **dict.fromkeys(values.keys() - free.keys(), "")}
    current = {key: running[key] for key in [*named, *dropped]}
    stays = [key for key in applied if key not in dropped or key in refused]
    history = keep_keys(place.history, stays, None) if place.history else None
    if named:
        now = {key: current[key] or "" for key in named}
        history = extend_history(history, Snapshot(None, now), Snapshot(None, dict(named)), {}, {}, asked)
    return Change(
        place,
        {**named, **dict.fromkeys(dropped)},
        current,
        {**named, **taken.values},
        history if history and history.applied.values else None,
        [_why_kept(place, key, values[key], refused[key]) for key in sorted(refused)],
    )


def _check(place: Place, named: Values, running: Mapping[str, Optional[str]], version: features.Version) -> None:
    bounds = {key: named.get(key, running[key]) for key in _BOUNDS}
    for key, value in named.items():
        wrong = what_is_wrong(Assignment(key, value, False, 0), running[key], bounds, version)
        if wrong:
            why = wrong if running[key] is not None else "it has no such key"
            raise OptionError(f"namespaces: {place.title}: {key} = {value}: {why}")


def _why_kept(place: Place, key: str, value: str, reason: str) -> str:
    why = reason and f": {reason}"
    return f"{place.title}: {key} is kept, because the kernel refuses {value}, as it was before{why}"


def commit(start: Start, decide: Prepare) -> List[Change]:
    """Make all changes, or leave everything as it was; in check mode, only decide. decide() is called in the namespace.

    A key that the kernel refuses to roll back is kept, and holds up no other. Raises Error or OSError.
    """
    kept: Set[Key] = set()
    while True:
        changes = []
        for place in start.places:
            with namespaces.within(place.descriptor):
                changes.append(decide(place, kept))
        try:
            _commit(start, changes)
        except RefusedError as error:
            inode, key = error.key
            if not any(one.place.inode == inode and one.wanted[key] is None for one in changes):
                raise
            kept.add(error.key)
        else:
            return changes


def _commit(start: Start, changes: Sequence[Change]) -> None:
    entries = [entry for entry in (change.entry(start.boot) for change in changes) if entry]
    if entries == start.entries and not any(change.writes for change in changes):
        return
    for change in changes:
        with namespaces.within(change.place.descriptor):
            check_keys([key for key, _value in change.writes])
    check_directories(start.state_dir)
    if not start.check:
        _carry_out(start, changes, entries)


def _carry_out(start: Start, changes: Sequence[Change], entries: List[Entry]) -> None:
    """Raises ApplyError, with everything as it was before."""
    place: Optional[Place] = None
    try:
        _note(start, changes)
        for change in changes:
            place = change.place
            with namespaces.within(place.descriptor):
                write_values(change.target)
                verify(change.target)
        place = None
        namespace_journal.save(start.state_dir, entries)
    except BaseException as error:
        _restore(start, changes)
        if not isinstance(error, (OSError, NamespaceError)):
            raise
        words = format_os_error(error) if isinstance(error, OSError) else str(error)
        words = f"{place.title + ': ' if place else ''}{words}; everything is as it was before"
        if isinstance(error, KernelError) and place:
            raise RefusedError(words, (place.inode, error.key)) from error
        raise ApplyError(words) from error


def _note(start: Start, changes: Sequence[Change]) -> None:
    """Note in the journal how things are. A full disk must not hold up a rollback: what it says already is enough."""
    noted = []
    for change in changes:
        entry = change.place.entry or Entry(start.boot, change.place.describe(), None)
        if change.writes or entry.history:
            noted.append(entry._replace(pending=change.now if change.writes else None))
    try:
        namespace_journal.save(start.state_dir, noted)
    except OSError as error:
        if error.errno not in _FULL or any(change.place.values for change in changes):
            raise


def _restore(start: Start, changes: Sequence[Change]) -> None:
    """Restore values in all namespaces, and only then forget that a change was under way. Raises ApplyError."""
    failed: List[ApplyError] = []
    for change in reversed(changes):
        try:
            with namespaces.within(change.place.descriptor):
                _write_back(start, change.place, change.now)
        except ApplyError as error:  # noqa: PERF203 - the others are restored all the same
            failed.append(error)
    if failed:
        raise failed[0]
    try:
        namespace_journal.save(start.state_dir, start.entries)
    except OSError as error:
        raise ApplyError(f"{format_os_error(error)}; everything is as it was before but the journal") from error


def _write_back(start: Start, place: Place, values: Values) -> None:
    try:
        write_values(values)
        verify(values)
    except OSError as error:
        raise ApplyError(
            f"an interrupted change of {place.title} could not be rolled back: {format_os_error(error)}; the next run "
            f"will try again (to give up instead, move {namespace_journal.path_in(start.state_dir)} away)"
        ) from error

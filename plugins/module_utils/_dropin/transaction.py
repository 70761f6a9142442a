# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a sysctl drop-in and the running kernel together, or neither.

    with begin(dropin, lock_timeout_s, check) as start:
        change = prepare_apply(start, text, trial=False)
        result = commit(start, change)

begin() locks, and rolls back what an interrupted run left half done. prepare_*() decide and change nothing, so that the
caller can still refuse. commit() notes in the journal how things are, replaces the file, writes the running values in a
safe order, reads them back, and notes that the change is made. A failure on the way rolls everything back.
"""

import contextlib
import errno
import os
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from .._boot.precedence import BootValue
from .._common.errors import Error, OptionError, format_os_error
from .._kernel import features, keys, sysctl
from . import durable_file, syntax
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .journal import History, Journal, Snapshot, load_journal, load_journals, save_journal
from .lock import lock_kernel, lock_state
from .ownership import (
    Other,
    after_trial,
    decided_since,
    extend_history,
    extend_trial,
    is_edited,
    keep_keys,
    keys_set_by,
    other_owners,
    values_to_restore,
)
from .preflight import check_permissions, check_values, take_values
from .result import ApplyResult, key_result
from .running import KernelError, order_writes, verify, write_values

_NEW_FILE_MODE = 0o644
_FULL = (errno.ENOSPC, errno.EDQUOT)

_ALL_BUT_SYNCED = "everything is changed, but a power cut may undo that"
_AS_FAR_AS_SPACE = "rolled back as far as that allows; roll back again once there is space"


# What files other than the drop-in set at boot, with this content of the drop-in, of these keys.
Answers = Callable[[Optional[FileState], Iterable[str]], Mapping[str, BootValue]]


class Start(NamedTuple):
    """How things are as a run begins.

    journal: without pending. assumed: running values that check mode has to take instead of the real ones. recovered:
    an interrupted run was rolled back first (in check mode: would be). others: the keys that other drop-ins have set.
    beside: those drop-ins.
    """

    dropin: Dropin
    check: bool
    journal: Journal
    file: Optional[FileState]
    assumed: Dict[str, str]
    recovered: bool
    others: Mapping[str, Other]
    answers: Answers
    beside: Sequence[str] = ()


class Change(NamedTuple):
    """What is to be done, decided and not yet done.

    wanted: the value asked for of each key, None where it is rolled back. current: its running value, None where the
    kernel lacks it. target: the file and the values to set. journal: what it will say. file_kept: as in ApplyResult.
    lost: values of ours that stay in force and that no file sets any more. without: the same change without keys that
    the kernel has refused to roll back. rolls_back: whether it does nothing but that.
    """

    wanted: Mapping[str, Optional[str]]
    current: Mapping[str, Optional[str]]
    target: Snapshot
    journal: Journal
    file_kept: bool = False
    warnings: Sequence[str] = ()
    lost: Mapping[str, str] = {}
    without: Optional[Callable[[FrozenSet[str]], "Change"]] = None
    rolls_back: bool = False

    @property
    def may_stay(self) -> Set[str]:
        """The keys that are rolled back, and so hold up no other where the kernel refuses that."""
        return {key for key in self.target.values if self.wanted[key] is None}


class Restored(NamedTuple):
    """Values to restore. refused: the keys that the kernel keeps from it, each with a sentence that says why."""

    values: Dict[str, str]
    refused: Dict[str, str]


class RefusedError(ApplyError):
    """The kernel does not take the value of a key, and everything is as before."""

    def __init__(self, words: str, key: str) -> None:
        super().__init__(words)
        self.key = key


@contextlib.contextmanager
def begin(
    dropin: Dropin, lock_timeout_s: float, check: bool, answers: Answers = lambda _file, _keys: {}
) -> Iterator[Start]:
    """Hold the locks, with an interrupted run rolled back. Raises Error or OSError."""
    with lock_state(dropin.state_dir, lock_timeout_s, check), lock_kernel(lock_timeout_s, dropin.root):
        journals = load_journals(dropin.state_dir)
        dropin = _where_it_was(dropin, journals)
        others = other_owners(journals, dropin.target)
        start = (_assume_recovered if check else _recover)(dropin, others, answers)
        applied = (target for target, (_path, journal) in journals.items() if journal.history)
        yield start._replace(beside=sorted(target for target in applied if target != dropin.target))


def _where_it_was(dropin: Dropin, journals: Mapping[str, Tuple[str, Journal]]) -> Dropin:
    """The drop-in at the file to which its path led when it was applied, if it leads elsewhere now."""
    if dropin.target not in journals:
        for target, (path, _journal) in journals.items():
            if path == dropin.path:
                return Dropin(dropin.path, dropin.state_dir, dropin.root, target)
    return dropin


def prepare_apply(start: Start, text: str, trial: bool, asked: str = "", kept: FrozenSet[str] = frozenset()) -> Change:
    """Make the file and the running values those of the text, and roll back keys that only an earlier text named.

    trial: note a change as one that can be rolled back by itself; otherwise no change is on trial afterwards. asked:
    reserved ports that were asked for by name. kept: dropped keys that the kernel has refused to roll back.
    Raises OptionError for bad input, ApplyError.
    """
    dropin, earlier = start.dropin, start.journal.history
    if os.path.realpath(dropin.path) != dropin.target:
        raise ApplyError(
            f"{dropin.path} led to {dropin.target} when it was applied, and leads to {os.path.realpath(dropin.path)} "
            "now; roll that back first (state: absent)"
        )
    assignments = syntax.parse(text)
    named = {assignment.key: assignment.value for assignment in assignments}
    current = _read_values(start, named)
    bounds = _read_values(start, [keys.PORT_RANGE, keys.UNPRIVILEGED_PORT_START])
    check_values(assignments, {**bounds, **current}, features.parse_version(features.release(start.dropin.root)))
    values = {key: value for key, value in named.items() if current[key] is not None}
    file = _with_content(start.file, text)
    dropped = _read_values(start, [key for key in (earlier.applied.values if earlier else ()) if key not in named])
    released = Restored({}, {})
    if earlier is not None and dropped:
        before, applied = earlier.origin.values, earlier.applied.values
        released = _restored(start, values_to_restore(before, applied, dropped), earlier, file, values, kept)
    current, target = {**current, **dropped}, Snapshot(file, {**values, **released.values})
    now = _now(start, current, target)
    boot = start.answers(
        earlier.origin.file if earlier else start.file, [key for key in values if not _has(earlier, key)]
    )
    stays = earlier and keep_keys(
        earlier,
        [key for key in earlier.applied.values if key in named or key in released.refused],
        earlier.applied.file,
    )
    own = {key: now.values[key] for key in values}
    history = extend_history(stays, Snapshot(now.file, own), Snapshot(file, values), start.others, boot, asked)
    on_trial = start.journal.trial if trial else None
    if trial and _differ(now, target):
        on_trial = extend_trial(start.journal, now, target)
    return Change(
        {**named, **dict.fromkeys(dropped)},
        current,
        target,
        Journal(history, trial=on_trial),
        warnings=[*_shared(start, values), *released.refused.values()],
        lost={key: current[key] or "" for key in released.refused},
        without=lambda more: prepare_apply(start, text, trial, asked, kept.union(more)),
    )


def _has(history: Optional[History], key: str) -> bool:
    return history is not None and key in history.applied.values


def _shared(start: Start, named: Iterable[str]) -> List[str]:
    return [
        f"{key} is set by {start.others[key].dropin} too, which sysctl_dropin has written as well; the later one counts"
        for key in named
        if key in start.others
    ]


def prepare_confirmation(start: Start) -> Change:
    """End the trial of a change: it stays."""
    return Change({}, {}, Snapshot(start.file, {}), start.journal._replace(trial=None))


def prepare_rollback(
    start: Start, trial: bool, only: Collection[str] = (), kept: FrozenSet[str] = frozenset()
) -> Change:
    """Restore the file and running values from before the first apply; without one, change nothing.

    trial: only those from before the change on trial, and the history of that time; without a trial, change nothing.
    only: these keys alone, and their lines of the file, if it names any. kept: as for prepare_apply().

    What somebody else has changed since is kept. If that is the file, so are the keys that it sets, and the journal
    keeps their originals until the file can be rolled back too. It keeps those that the kernel refuses as well.
    Raises ApplyError, or OptionError for a name that nothing has.
    """
    history, on_trial = start.journal.history, start.journal.trial if trial else None
    _check_named(only, start.file, history)
    elsewhere = [] if trial or only else _still_applied(start)
    if history is None or (trial and on_trial is None):
        return Change({}, {}, Snapshot(start.file, {}), start.journal, warnings=elsewhere)
    if only and start.journal.trial:
        raise ApplyError("a change is on trial; confirm it or roll it back before you roll back some of its keys")
    before, applied = (on_trial.before, on_trial.after) if on_trial else (history.origin, history.applied.values)
    chosen = [key for key in before.values if not only or key in only]
    is_whole = len(chosen) == len(before.values)
    current = _read_values(start, chosen)
    file_kept = is_edited(history, start.file)
    claimed = keys_set_by(start.file, chosen) if file_kept else set()
    file = start.file if file_kept else before.file if is_whole else _without_lines(start.file, history, only)
    free = {key: value for key, value in current.items() if key not in claimed}
    values = values_to_restore(before.values, applied, free)
    restored = _restored(start, values, None if on_trial else history, file, {}, kept)
    stays = claimed.union(restored.refused)
    left: Optional[History]
    if on_trial:
        left = on_trial.history
        if file_kept or restored.refused:
            left = after_trial(history, on_trial, restored.values)
    elif is_whole:
        left = keep_keys(history, stays, history.applied.file) if file_kept or stays else None
    else:
        stays = stays.union(key for key in before.values if key not in chosen)
        left = keep_keys(history, stays, history.applied.file if file_kept else file)
    return Change(
        dict.fromkeys(current),
        current,
        Snapshot(file, restored.values),
        Journal(left),
        file_kept,
        warnings=[*restored.refused.values(), *elsewhere],
        without=lambda more: prepare_rollback(start, trial, only, kept.union(more)),
        rolls_back=True,
    )


def _still_applied(start: Start) -> List[str]:
    return [
        f"{path} is another drop-in of this collection, and stays applied; to roll it back too, name it, path: {path} "
        "(timewait_remediate_path)"
        for path in start.beside
    ]


def _check_named(only: Collection[str], file: Optional[FileState], history: Optional[History]) -> None:
    """A slip must not pass for what was rolled back already. What was is the kernel's own, or one that it may lack."""
    known = {*keys.NAMES, *(history.origin.values if history else ()), *keys_set_by(file, only)}
    for key in only:
        if key not in known and sysctl.read(key) is None:
            raise OptionError(f"keys: {key or 'an empty name'} is no sysctl of this kernel, nor set by the drop-in")


def _without_lines(file: Optional[FileState], history: History, keys: Collection[str]) -> Optional[FileState]:
    """The file that was applied without the lines of some keys; any other file stays as it is."""
    ours = history.applied.file
    if file is None or ours is None or file.content != ours.content:
        return file
    return file._replace(content=syntax.without(file.content.decode(), keys).encode())


def _restored(
    start: Start,
    values: Dict[str, str],
    history: Optional[History],
    file: Optional[FileState],
    fixed: Mapping[str, str],
    kept: FrozenSet[str],
) -> Restored:
    """What to restore, of these values from before, and what the kernel would refuse of it.

    history: None where what others have decided since does not count. file: the drop-in afterwards. fixed: values that
    are set besides. kept: keys that the kernel has refused already.
    """
    lines: Mapping[str, BootValue] = {}
    if history is not None:
        values, lines = decided_since(values, history, start.others, start.answers(file, values))
    bounds = (keys.PORT_RANGE, keys.UNPRIVILEGED_PORT_START)
    running = {**_read_values(start, [*values, *bounds]), **fixed}
    version = features.parse_version(features.release(start.dropin.root))
    free = {key: value for key, value in values.items() if key not in kept}
    taken = take_values(free, running, version)
    refused = {**taken.refused, **{key: "" for key in values if key in kept}}
    return Restored(taken.values, {key: _why_kept(key, values[key], refused[key], lines.get(key)) for key in refused})


def _why_kept(key: str, value: str, reason: str, line: Optional[BootValue]) -> str:
    where = f"which {line.file}:{line.line} sets" if line else "as it was before"
    return f"{key} is kept, because the kernel refuses {value}, {where}{reason and f': {reason}'}"


def commit(start: Start, change: Change) -> ApplyResult:
    """Make the change, or leave everything as it was; in check mode, only say what it would do.

    A key that the kernel refuses to roll back is kept, and holds up no other. Raises ApplyError, or OSError for what
    failed before anything was changed.
    """
    try:
        return _commit(start, change)
    except RefusedError as error:
        if change.without is None or error.key not in change.may_stay:
            raise
        return commit(start, change.without(frozenset([error.key])))


def _commit(start: Start, change: Change) -> ApplyResult:
    now = _now(start, change.current, change.target)
    changed = _differ(now, change.target)
    # What was so from the start is not ours to roll back; the journal holds it only beside what is.
    journal = change.journal if changed or start.journal.history else start.journal
    if changed or journal != start.journal:
        writes = order_writes(now.values, change.target.values)
        check_permissions(start.dropin, [key for key, _value in writes], change.target.file != now.file)
        if not start.check:
            _carry_out(start, now, change, journal)
    settings = [
        key_result(key, change.current[key], change.wanted[key], change.target.values.get(key))
        for key in change.current
    ]
    return ApplyResult(
        changed or start.recovered,
        start.recovered,
        settings,
        start.file,
        change.target.file,
        change.file_kept,
        journal.trial is not None,
        change.warnings,
    )


def _recover(dropin: Dropin, others: Mapping[str, Other], answers: Answers) -> Start:
    """Roll back what an interrupted run left half done. Raises Error or OSError."""
    journal = load_journal(dropin.journal)
    for path in (dropin.target, dropin.journal):
        durable_file.remove(durable_file.temporary_path(path))
    if journal.pending is not None:
        _restore(dropin, journal, _without_missing_keys(dropin, journal.pending))
    file = durable_file.read(dropin.target)
    return Start(dropin, False, journal._replace(pending=None), file, {}, journal.pending is not None, others, answers)


def _assume_recovered(dropin: Dropin, others: Mapping[str, Other], answers: Answers) -> Start:
    """How things would be after _recover()."""
    journal = load_journal(dropin.journal)
    if journal.pending is None:
        return Start(dropin, True, journal, durable_file.read(dropin.target), {}, False, others, answers)
    pending = _without_missing_keys(dropin, journal.pending)
    return Start(dropin, True, journal._replace(pending=None), pending.file, pending.values, True, others, answers)


def _without_missing_keys(dropin: Dropin, snapshot: Snapshot) -> Snapshot:
    """Without the keys that are gone, as after a reboot into another kernel."""
    values = {key: value for key, value in snapshot.values.items() if sysctl.read(key, dropin.root) is not None}
    return snapshot._replace(values=values)


def _read_values(start: Start, keys: Iterable[str]) -> Dict[str, Optional[str]]:
    """Raises ApplyError for a key that only takes writes, such as net.ipv4.route.flush."""
    try:
        return {key: start.assumed.get(key, sysctl.read(key, start.dropin.root)) for key in keys}
    except PermissionError as error:
        raise ApplyError(f"{error.filename} cannot be read, so a change of it could not be rolled back") from error


def _with_content(file: Optional[FileState], text: str) -> FileState:
    """The file with another content; a new one belongs to who runs this and is readable for all."""
    try:
        content = (text if text.endswith("\n") or not text else text + "\n").encode()
    except UnicodeEncodeError as error:
        raise OptionError(f"content cannot be written as UTF-8: {error.reason}") from error
    if file is not None:
        return file._replace(content=content)
    return FileState(content, _NEW_FILE_MODE, os.geteuid(), os.getegid(), None)


def _now(start: Start, current: Mapping[str, Optional[str]], target: Snapshot) -> Snapshot:
    """What a change to the target replaces."""
    return Snapshot(start.file, {key: current[key] or "" for key in target.values})


def _differ(now: Snapshot, target: Snapshot) -> bool:
    return target.file != now.file or bool(order_writes(now.values, target.values))


def _carry_out(start: Start, now: Snapshot, change: Change, journal: Journal) -> None:
    """Bring about target and journal, or leave everything as it was. Raises ApplyError."""
    dropin, target, noted = start.dropin, change.target, True
    try:
        if _differ(now, target):
            noted = _note(start, now, change)
            if noted:
                _write(dropin, target)
                verify(target.values, dropin.root)
        if noted:
            save_journal(dropin.journal, journal, dropin.path)
    except BaseException as error:
        done = _is_committed(dropin, target, journal)
        if not done:
            _restore(dropin, start.journal, now)
        if isinstance(error, OSError):
            raise _told(error, _ALL_BUT_SYNCED if done else "everything is as it was before") from error
        raise
    if not noted:
        _carry_out_unnoted(start, now, target, journal)


def _told(error: OSError, how: str) -> ApplyError:
    """The error with what has become of everything."""
    words = f"{format_os_error(error)}; {how}"
    return RefusedError(words, error.key) if isinstance(error, KernelError) else ApplyError(words)


def _note(start: Start, now: Snapshot, change: Change) -> bool:
    """Note in the journal how things are. False where a rollback finds the disk full, which must not hold it up."""
    try:
        save_journal(start.dropin.journal, start.journal._replace(pending=now), start.dropin.path)
    except OSError as error:
        if change.rolls_back and error.errno in _FULL:
            return False
        raise
    return True


def _carry_out_unnoted(start: Start, now: Snapshot, target: Snapshot, journal: Journal) -> None:
    """As _carry_out(), where the journal cannot be written; what it says already is enough to go on from anywhere.

    What needs space comes first, and the running values before the file goes. Raises ApplyError.
    """
    dropin = start.dropin
    try:
        if target.file is not None:
            _write(dropin, Snapshot(target.file, {}))
        write_values(target.values, dropin.root)
        verify(target.values, dropin.root)
    except OSError as error:
        _restore(dropin, start.journal, now)
        raise _told(error, "everything is as it was before") from error
    failed: List[OSError] = []
    _try(lambda: _write(dropin, target), failed)
    _try(lambda: save_journal(dropin.journal, journal, dropin.path), failed)
    if failed:
        done = _is_committed(dropin, target, journal)
        raise _told(failed[0], _ALL_BUT_SYNCED if done else _AS_FAR_AS_SPACE) from failed[0]


def _try(step: Callable[[], None], failed: List[OSError]) -> None:
    try:
        step()
    except OSError as error:
        failed.append(error)


def _write(dropin: Dropin, target: Snapshot) -> None:
    """Write the file and the running values that differ. Raises OSError."""
    if target.file is None:
        durable_file.remove(dropin.target)
    elif target.file != durable_file.read(dropin.target):
        durable_file.write(dropin.target, target.file)
    write_values(target.values, dropin.root)


def _is_committed(dropin: Dropin, target: Snapshot, journal: Journal) -> bool:
    """Whether a change that ended with an error was committed: the journal no longer says how to roll it back.

    Only the last sync to the disk can have failed then.
    """
    try:
        verify(target.values, dropin.root)
        return durable_file.read(dropin.target) == target.file and load_journal(dropin.journal) == journal
    except (OSError, Error):
        return False


def _restore(dropin: Dropin, journal: Journal, snapshot: Snapshot) -> None:
    """Restore file and values, and only then forget that a change was under way. Raises ApplyError."""
    try:
        _write(dropin, snapshot)
        verify(snapshot.values, dropin.root)
        save_journal(dropin.journal, journal._replace(pending=None), dropin.path)
    except OSError as error:
        raise ApplyError(
            f"an interrupted change could not be rolled back: {format_os_error(error)}; "
            f"the next run will try again (to give up instead, move {dropin.journal} away)"
        ) from error

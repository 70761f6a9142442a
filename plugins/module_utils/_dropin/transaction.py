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
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from .._errors import Error, OptionError, format_os_error
from .._kernel import keys, sysctl
from .._kernel.ports import parse_ports
from .._kernel.sysctl_write import write_sysctl
from . import durable_file, syntax
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .journal import Journal, Snapshot, load_journal, save_journal
from .lock import lock_state
from .ownership import (
    extend_history,
    extend_trial,
    is_edited,
    keep_keys,
    keys_set_by,
    values_to_restore,
    with_applied,
)
from .preflight import check_permissions, check_values
from .result import ApplyResult, key_result

_NEW_FILE_MODE = 0o644


class Start(NamedTuple):
    """How things are as a run begins.

    journal: without pending. assumed: running values that check mode has to take instead of the real ones. recovered:
    an interrupted run was rolled back first (in check mode: would be).
    """

    dropin: Dropin
    check: bool
    journal: Journal
    file: Optional[FileState]
    assumed: Dict[str, str]
    recovered: bool


class Change(NamedTuple):
    """What is to be done, decided and not yet done.

    wanted: the value asked for of each key, None in a rollback. current: its running value, None where the kernel lacks
    it. target: the file and the values to set. journal: what it will say. file_kept: as in ApplyResult.
    """

    wanted: Mapping[str, Optional[str]]
    current: Mapping[str, Optional[str]]
    target: Snapshot
    journal: Journal
    file_kept: bool = False

    def with_values(self, values: Mapping[str, str]) -> "Change":
        """The change with other values to set for some of its keys."""
        return self._replace(target=self.target._replace(values={**self.target.values, **values}))


@contextlib.contextmanager
def begin(dropin: Dropin, lock_timeout_s: float, check: bool) -> Iterator[Start]:
    """Hold the lock, with an interrupted run rolled back. Raises Error or OSError."""
    with lock_state(dropin.state_dir, lock_timeout_s, check):
        yield _assume_recovered(dropin) if check else _recover(dropin)


def prepare_apply(start: Start, text: str, trial: bool) -> Change:
    """Make the file and the running values those of the text.

    A key that an earlier text named and this one does not keeps its running value; a rollback restores it too.
    trial: note a change as one that can be rolled back by itself; otherwise no change is on trial afterwards.
    Raises OptionError for bad input, ApplyError.
    """
    assignments = syntax.parse(text)
    named = {assignment.key: assignment.value for assignment in assignments}
    current = _read_values(start, named)
    check_values(assignments, current, _read_values(start, [keys.UNPRIVILEGED_PORT_START]))
    values = {key: value for key, value in named.items() if current[key] is not None}
    target = Snapshot(_with_content(start.file, text), values)
    now = _now(start, current, target)
    history = extend_history(start.journal.history, now, target)
    on_trial = start.journal.trial if trial else None
    if trial and _differ(now, target):
        on_trial = extend_trial(start.journal, now)
    return Change(named, current, target, Journal(history, trial=on_trial))


def prepare_confirmation(start: Start) -> Change:
    """End the trial of a change: it stays."""
    return Change({}, {}, Snapshot(start.file, {}), start.journal._replace(trial=None))


def prepare_rollback(start: Start, trial: bool) -> Change:
    """Restore the file and running values from before the first apply; without one, change nothing.

    trial: only those from before the change on trial, and the history of that time; without a trial, change nothing.

    What somebody else has changed since is kept. If that is the file, so are the keys that it sets, and the journal
    keeps their originals until the file can be rolled back too. Raises ApplyError.
    """
    history, on_trial = start.journal.history, start.journal.trial if trial else None
    if history is None or (trial and on_trial is None):
        return Change({}, {}, Snapshot(start.file, {}), start.journal)
    before = on_trial.before if on_trial else history.origin
    current = _read_values(start, before.values)
    file_kept = is_edited(history, start.file)
    claimed = keys_set_by(start.file, before.values) if file_kept else set()
    restored = values_to_restore(history, before, current, claimed)
    target = Snapshot(start.file if file_kept else before.file, restored)
    if on_trial:
        left = with_applied(history, restored) if file_kept else on_trial.history
    else:
        left = keep_keys(history, claimed) if file_kept else None
    return Change(dict.fromkeys(current), current, target, Journal(left), file_kept)


def commit(start: Start, change: Change) -> ApplyResult:
    """Make the change, or leave everything as it was; in check mode, only say what it would do.

    Raises ApplyError, or OSError for what failed before anything was changed.
    """
    now = _now(start, change.current, change.target)
    changed = _differ(now, change.target)
    # What was so from the start is not ours to roll back; the journal holds it only beside what is.
    journal = change.journal if changed or start.journal.history else start.journal
    if changed or journal != start.journal:
        writes = order_writes(now.values, change.target.values)
        check_permissions(start.dropin, [key for key, _value in writes], change.target.file != now.file)
        if not start.check:
            _carry_out(start, now, change.target, journal)
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
    )


def order_writes(now: Mapping[str, str], target: Mapping[str, str]) -> List[Tuple[str, str]]:
    """The writes that lead from one set of running values to another, in an order that is safe at every moment.

    A port of a service is reserved before the range can reach it, and released only when the range has left it. The
    range never begins below ip_unprivileged_port_start, which the kernel would refuse.
    """
    early: List[Tuple[str, str]] = []
    middle: List[Tuple[str, str]] = []
    late: List[Tuple[str, str]] = []
    for key, value in target.items():
        if sysctl.same(key, now[key], value):
            continue
        if key == keys.RESERVED_PORTS:
            old, new = parse_ports(now[key]), parse_ports(value)
            if new - old:
                early.append((key, str(old | new) if old - new else value))
            if old - new:
                late.append((key, value))
        elif key == keys.UNPRIVILEGED_PORT_START:
            (early if int(value) < int(now[key]) else late).append((key, value))
        else:
            middle.append((key, value))
    return early + middle + late


def _recover(dropin: Dropin) -> Start:
    """Roll back what an interrupted run left half done. Raises Error or OSError."""
    journal = load_journal(dropin.journal)
    for path in (dropin.target, dropin.journal):
        durable_file.remove(durable_file.temporary_path(path))
    if journal.pending is not None:
        _restore(dropin, journal, _without_missing_keys(dropin, journal.pending))
    file = durable_file.read(dropin.target)
    return Start(dropin, False, journal._replace(pending=None), file, {}, journal.pending is not None)


def _assume_recovered(dropin: Dropin) -> Start:
    """How things would be after _recover()."""
    journal = load_journal(dropin.journal)
    if journal.pending is None:
        return Start(dropin, True, journal, durable_file.read(dropin.target), {}, False)
    pending = _without_missing_keys(dropin, journal.pending)
    return Start(dropin, True, journal._replace(pending=None), pending.file, pending.values, True)


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


def _carry_out(start: Start, now: Snapshot, target: Snapshot, journal: Journal) -> None:
    """Bring about target and journal, or leave everything as it was. Raises ApplyError."""
    dropin = start.dropin
    try:
        if _differ(now, target):
            save_journal(dropin.journal, start.journal._replace(pending=now))
            _write(dropin, target)
            _verify(dropin, target.values)
        save_journal(dropin.journal, journal)
    except BaseException as error:
        done = _is_committed(dropin, target, journal)
        if not done:
            _restore(dropin, start.journal, now)
        if isinstance(error, OSError):
            how = "changed, but a power cut may undo that" if done else "as it was before"
            raise ApplyError(f"{format_os_error(error)}; everything is {how}") from error
        raise


def _write(dropin: Dropin, target: Snapshot) -> None:
    """Write the file and the running values that differ. Raises OSError or ApplyError."""
    if target.file is None:
        durable_file.remove(dropin.target)
    elif target.file != durable_file.read(dropin.target):
        durable_file.write(dropin.target, target.file)
    now = {key: sysctl.read(key, dropin.root) or "" for key in target.values}
    for key, value in order_writes(now, target.values):
        _set_value(dropin, key, value)


def _set_value(dropin: Dropin, key: str, value: str) -> None:
    try:
        write_sysctl(key, value, dropin.root)
    except OSError as error:
        raise OSError(error.errno, f"the kernel refused {key} = {value}: {error.strerror}") from error


def _verify(dropin: Dropin, values: Mapping[str, str]) -> None:
    """Raises OSError unless the kernel has the values."""
    for key, value in values.items():
        current = sysctl.read(key, dropin.root)
        if current is None or not sysctl.same(key, current, value):
            raise OSError(errno.EINVAL, f"the kernel turned {key} = {value} into {current}")


def _is_committed(dropin: Dropin, target: Snapshot, journal: Journal) -> bool:
    """Whether a change that ended with an error was committed: the journal no longer says how to roll it back.

    Only the last sync to the disk can have failed then.
    """
    try:
        _verify(dropin, target.values)
        return durable_file.read(dropin.target) == target.file and load_journal(dropin.journal) == journal
    except (OSError, Error):
        return False


def _restore(dropin: Dropin, journal: Journal, snapshot: Snapshot) -> None:
    """Restore file and values, and only then forget that a change was under way. Raises ApplyError."""
    try:
        _write(dropin, snapshot)
        _verify(dropin, snapshot.values)
        save_journal(dropin.journal, journal._replace(pending=None))
    except OSError as error:
        raise ApplyError(
            f"an interrupted change could not be rolled back: {format_os_error(error)}; "
            f"the next run will try again (to give up instead, move {dropin.journal} away)"
        ) from error

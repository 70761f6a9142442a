# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a sysctl drop-in and the running kernel together, or neither.

Under a lock: note in the journal how things are, replace the file, write the running values in a safe order, read them
back, commit the journal. A failure on the way rolls everything back; after a crash the next run does that first.
"""

import errno
import os
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .._errors import format_os_error
from .._kernel import sysctl
from .._kernel.ports import parse_ports
from . import durable_file, syntax
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .journal import EMPTY_JOURNAL, Journal, Snapshot, load_journal, save_journal
from .ownership import (
    is_edited,
    keep_only,
    keys_set_by,
    original_value,
    trial_after,
    values_to_restore,
    without_trial,
)
from .preflight import check_permissions, check_values
from .result import ApplyResult, key_result

_NEW_FILE_MODE = 0o644


class Start(NamedTuple):
    """How things are as a run begins. values: running values that check mode has to assume instead of the real ones."""

    journal: Journal
    file: Optional[FileState]
    values: Dict[str, str]
    recovered: bool


# Sees what the file and the values will be, before anything is changed, and may raise to prevent it.
Review = Callable[[Optional[FileState], Mapping[str, Optional[str]]], None]
# The values that other sysctl files set at boot, once the drop-in is what the first argument says.
Elsewhere = Callable[[Optional[FileState], Iterable[str]], Mapping[str, str]]


def _accept_all(_file: Optional[FileState], _wanted: Mapping[str, Optional[str]]) -> None:
    """A review that finds nothing."""


def _nothing_elsewhere(_file: Optional[FileState], _keys: Iterable[str]) -> Mapping[str, str]:
    return {}


def apply(
    dropin: Dropin, text: str, lock_timeout_s: float, check: bool, review: Review = _accept_all, trial: bool = False
) -> ApplyResult:
    """Make the file and the running values those of the text.

    A key that an earlier text named and this one does not keeps its running value; roll_back() restores it too.
    trial: note a change as one that roll_back() can roll back by itself; otherwise no change is on trial afterwards.
    Raises ValueError for bad input, ApplyError, LockedError, OSError, or what review raises.
    """
    assignments = syntax.parse(text)
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        origin = start.journal.origin or Snapshot(start.file, {})
        named = {assignment.key: assignment.value for assignment in assignments}
        values = _read_values(dropin, start, named)
        check_values(assignments, values, _read_values(dropin, start, [sysctl.UNPRIVILEGED_PORT_START]))

        wanted = {key: value for key, value in named.items() if values[key] is not None}
        now, target = Snapshot(start.file, _select(values, wanted)), Snapshot(_with_content(start.file, text), wanted)
        applied = start.journal.applied.values if start.journal.applied else {}
        first = {key: original_value(key, origin.values, applied, values[key] or "", wanted[key]) for key in wanted}
        journal = Journal(
            Snapshot(origin.file, {**origin.values, **first}),
            Snapshot(target.file, {**applied, **wanted}),
            None,
            trial_after(start.journal, now, _differ(now, target)) if trial else None,
        )
        review(target.file, wanted)
        changed = _commit(dropin, start, now, target, journal, check)
        settings = [key_result(key, values[key], named.get(key), target.values.get(key)) for key in values]
        on_trial = journal.trial is not None
        return ApplyResult(
            changed or start.recovered, start.recovered, settings, start.file, target.file, False, on_trial
        )


def confirm(dropin: Dropin, lock_timeout_s: float, check: bool) -> ApplyResult:
    """End the trial of a change: it stays. Without one, change nothing. Raises as apply()."""
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        if start.journal.trial is not None and not check:
            check_permissions(dropin, [], False)
            save_journal(dropin.journal, start.journal._replace(trial=None))
        return _nothing_left(start)


def roll_back(
    dropin: Dropin, lock_timeout_s: float, check: bool, elsewhere: Elsewhere = _nothing_elsewhere, trial: bool = False
) -> ApplyResult:
    """Restore the file and running values from before the first apply; without one, change nothing.

    trial: only those from before the change on trial, and the journal of that time; without a trial, change nothing.

    What somebody else has changed since is kept. If that is the file, so are the keys that it sets, and the journal
    keeps their originals until the file can be rolled back too. A key that another sysctl file sets gets that value, as
    it will at boot. Raises as apply().
    """
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        earlier = start.journal.trial
        if trial and earlier is None:
            return _nothing_left(start)
        before = (earlier.pending if trial and earlier else start.journal.origin) or Snapshot(start.file, {})
        values = _read_values(dropin, start, before.values)
        file_kept = is_edited(start.journal, start.file)
        claimed = keys_set_by(start.file, before.values) if file_kept else set()
        file = start.file if file_kept else before.file
        restored = values_to_restore(start.journal, before, values, [key for key in values if key not in claimed])
        if trial and earlier:
            journal = without_trial(start.journal, restored) if file_kept else earlier._replace(pending=None)
        else:
            restored.update(elsewhere(file, list(restored)))
            journal = keep_only(start.journal, claimed) if file_kept else EMPTY_JOURNAL
        now, target = Snapshot(start.file, _select(values, restored)), Snapshot(file, restored)
        changed = _commit(dropin, start, now, target, journal, check)
        settings = [key_result(key, values[key], None, target.values.get(key)) for key in values]
        return ApplyResult(
            changed or start.recovered, start.recovered, settings, start.file, target.file, file_kept, False
        )


def steps(now: Mapping[str, str], target: Mapping[str, str]) -> List[Tuple[str, str]]:
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
        if key == sysctl.RESERVED_PORTS:
            old, new = parse_ports(now[key]), parse_ports(value)
            if new - old:
                early.append((key, str(old | new) if old - new else value))
            if old - new:
                late.append((key, value))
        elif key == sysctl.UNPRIVILEGED_PORT_START:
            (early if int(value) < int(now[key]) else late).append((key, value))
        else:
            middle.append((key, value))
    return early + middle + late


def _begin(dropin: Dropin, check: bool) -> Start:
    """Read file and journal, and roll back an interrupted run (in check mode: assume that this was done)."""
    journal = load_journal(dropin.journal)
    pending = journal.pending and _without_missing_keys(dropin, journal.pending)
    if check:
        if pending is None:
            return Start(journal, durable_file.read(dropin.target), {}, False)
        return Start(journal, pending.file, pending.values, True)
    for path in (dropin.target, dropin.journal):
        durable_file.remove(durable_file.temporary_path(path))
    if pending is not None:
        _restore(dropin, journal, pending)
    return Start(journal._replace(pending=None), durable_file.read(dropin.target), {}, pending is not None)


def _without_missing_keys(dropin: Dropin, snapshot: Snapshot) -> Snapshot:
    """Without the keys that are gone, as after a reboot into another kernel."""
    values = {key: value for key, value in snapshot.values.items() if sysctl.read(key, dropin.root) is not None}
    return snapshot._replace(values=values)


def _read_values(dropin: Dropin, start: Start, keys: Iterable[str]) -> Dict[str, Optional[str]]:
    """Raises ApplyError for a key that only takes writes, such as net.ipv4.route.flush."""
    try:
        return {key: start.values.get(key, sysctl.read(key, dropin.root)) for key in keys}
    except PermissionError as error:
        raise ApplyError(f"{error.filename} cannot be read, so a change of it could not be rolled back") from error


def _with_content(file: Optional[FileState], text: str) -> FileState:
    """The file with another content; a new one belongs to who runs this and is readable for all."""
    content = (text if text.endswith("\n") or not text else text + "\n").encode()
    if file is not None:
        return file._replace(content=content)
    return FileState(content, _NEW_FILE_MODE, os.geteuid(), os.getegid(), None)


def _nothing_left(start: Start) -> ApplyResult:
    """The outcome of a run that changes neither file nor values."""
    return ApplyResult(start.recovered, start.recovered, [], start.file, start.file, False, False)


def _select(values: Mapping[str, Optional[str]], keys: Iterable[str]) -> Dict[str, str]:
    return {key: values[key] or "" for key in keys}


def _differ(now: Snapshot, target: Snapshot) -> bool:
    return target.file != now.file or bool(steps(now.values, target.values))


def _commit(
    dropin: Dropin,
    start: Start,
    now: Snapshot,
    target: Snapshot,
    journal: Journal,
    check: bool,
) -> bool:
    """Bring about the target, or leave everything as it was. Tells whether there is anything to change."""
    if not _differ(now, target):
        # What was so from the start is not ours to roll back; the journal holds it only beside what is.
        if not check and (start.journal.origin or journal == EMPTY_JOURNAL):
            save_journal(dropin.journal, journal)
        return False
    changes = [key for key, _value in steps(now.values, target.values)]
    check_permissions(dropin, changes, target.file != now.file)
    if check:
        return True
    try:
        save_journal(dropin.journal, start.journal._replace(pending=now))
        _write(dropin, target)
        _verify(dropin, target.values)
        save_journal(dropin.journal, journal)
    except BaseException as error:
        done = _is_done(dropin, target, journal)
        if not done:
            _restore(dropin, start.journal, now)
        if isinstance(error, OSError):
            how = "changed, but a power cut may undo that" if done else "as it was before"
            raise ApplyError(f"{format_os_error(error)}; everything is {how}") from error
        raise
    return True


def _write(dropin: Dropin, target: Snapshot) -> None:
    """Write the file and the running values that differ. Raises OSError or ApplyError."""
    if target.file is None:
        durable_file.remove(dropin.target)
    elif target.file != durable_file.read(dropin.target):
        durable_file.write(dropin.target, target.file)
    now = {key: sysctl.read(key, dropin.root) or "" for key in target.values}
    for key, value in steps(now, target.values):
        _set_value(dropin, key, value)


def _set_value(dropin: Dropin, key: str, value: str) -> None:
    try:
        sysctl.write(key, value, dropin.root)
    except OSError as error:
        raise OSError(error.errno, f"the kernel refused {key} = {value}: {error.strerror}") from error


def _verify(dropin: Dropin, values: Mapping[str, str]) -> None:
    """Raises OSError unless the kernel has the values."""
    for key, value in values.items():
        current = sysctl.read(key, dropin.root)
        if current is None or not sysctl.same(key, current, value):
            raise OSError(errno.EINVAL, f"the kernel turned {key} = {value} into {current}")


def _is_done(dropin: Dropin, target: Snapshot, journal: Journal) -> bool:
    """Whether a change that ended with an error was committed: the journal no longer says how to roll it back.

    Only the last sync to the disk can have failed then.
    """
    try:
        _verify(dropin, target.values)
        return durable_file.read(dropin.target) == target.file and load_journal(dropin.journal) == journal
    except (OSError, ValueError):
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

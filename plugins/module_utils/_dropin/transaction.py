# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a sysctl drop-in and the running kernel together, or neither.

Under a lock: note in the journal how things are, replace the file, write the running values in a safe order, read them
back, commit the journal. A failure on the way rolls everything back; after a crash the next run does that first.
"""

import errno
import os
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._kernel import sysctl
from .._kernel.ports import parse_ports, parse_range
from . import durable_file, syntax
from .durable_file import FileState
from .journal import EMPTY_JOURNAL, Journal, Snapshot, journal_path, load_journal, save_journal
from .syntax import Assignment

_NEW_FILE_MODE = 0o644
_BOOLEAN_WORDS = ("true", "false", "yes", "no", "on", "off")


class ApplyError(Exception):
    """The change was not made. All is as before, unless the message says otherwise."""


class KeyResult(NamedTuple):
    """What became of a key. Values are None where the kernel has no such key, or none is wanted.

    status: changed, unchanged, skipped (the kernel lacks it, and it is optional), restored (rolled back), or kept (not
    rolled back, because somebody else has since changed it, or the file that sets it).
    """

    key: str
    wanted: Optional[str]
    before: Optional[str]
    after: Optional[str]
    status: str


class ApplyResult(NamedTuple):
    """What a run did, or would do in check mode.

    recovered: it first rolled back an interrupted run. file_kept: the file was not rolled back, because somebody else
    has changed it since. on_trial: the journal says afterwards that a change is on trial.
    """

    changed: bool
    recovered: bool
    settings: List[KeyResult]
    file_before: Optional[FileState]
    file_after: Optional[FileState]
    file_kept: bool
    on_trial: bool


class Dropin:
    """Where a drop-in, its journal and the running values are.

    path may be a link; target is the file itself. root is /proc/sys. Raises ValueError for a path that cannot serve.
    """

    def __init__(self, path: str, state_dir: str, root: str = sysctl.PROC_SYS) -> None:
        if not os.path.isabs(path) or not path.endswith(".conf"):
            raise ValueError(f"path must be absolute and end in .conf, or no loader reads it; {path} does not")
        self.path = path
        self.target = os.path.realpath(path)
        self.directory = os.path.dirname(self.target)
        self.journal = journal_path(state_dir, self.target)
        self.root = root
        if self.target == os.devnull:
            raise ValueError(f"path {path} is a link to {os.devnull}, which masks it; remove the link first")
        if not os.path.isdir(self.directory):
            raise ValueError(f"path {path} needs the directory {self.directory}, which does not exist")
        if not os.path.isabs(state_dir):
            raise ValueError(f"state_dir must be absolute; {state_dir} is not")
        above = os.path.dirname(os.path.dirname(self.journal))
        if not os.path.isdir(above):
            raise ValueError(f"state_dir {state_dir} needs the directory {above}, which does not exist")


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
        _check_values(assignments, values, _read_values(dropin, start, [sysctl.UNPRIVILEGED_PORT_START]))

        wanted = {key: value for key, value in named.items() if values[key] is not None}
        now, target = Snapshot(start.file, _select(values, wanted)), Snapshot(_with_content(start.file, text), wanted)
        applied = start.journal.applied.values if start.journal.applied else {}
        first = {key: _origin_of(key, origin.values, applied, values[key] or "", wanted[key]) for key in wanted}
        journal = Journal(
            Snapshot(origin.file, {**origin.values, **first}),
            Snapshot(target.file, {**applied, **wanted}),
            None,
            _trial_after(start.journal, now, target) if trial else None,
        )
        review(target.file, wanted)
        changed = _commit(dropin, start, now, target, journal, check)
        settings = [_key_result(key, values[key], named.get(key), target.values.get(key)) for key in values]
        on_trial = journal.trial is not None
        return ApplyResult(
            changed or start.recovered, start.recovered, settings, start.file, target.file, False, on_trial
        )


def confirm(dropin: Dropin, lock_timeout_s: float, check: bool) -> ApplyResult:
    """End the trial of a change: it stays. Without one, change nothing. Raises as apply()."""
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        if start.journal.trial is not None and not check:
            _check_permissions(dropin, [], False)
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
        file_kept = _is_edited(start)
        claimed = _keys_set_by(start.file, before.values) if file_kept else set()
        file = start.file if file_kept else before.file
        restored = _still_ours(start.journal, before, values, [key for key in values if key not in claimed])
        if trial and earlier:
            journal = _without_trial(start.journal, restored) if file_kept else earlier._replace(pending=None)
        else:
            restored.update(elsewhere(file, list(restored)))
            journal = _keep_only(start.journal, claimed) if file_kept else EMPTY_JOURNAL
        now, target = Snapshot(start.file, _select(values, restored)), Snapshot(file, restored)
        changed = _commit(dropin, start, now, target, journal, check)
        settings = [_key_result(key, values[key], None, target.values.get(key)) for key in values]
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


def _check_values(
    assignments: Sequence[Assignment], values: Mapping[str, Optional[str]], start: Mapping[str, Optional[str]]
) -> None:
    """Refuse what the kernel would refuse, or worse, take for something else. Raises ValueError that names the line."""
    first_port = {**start, **{one.key: one.value for one in assignments}}.get(sysctl.UNPRIVILEGED_PORT_START) or "0"
    for one in assignments:
        wrong = _what_is_wrong(one, values[one.key], int(first_port) if first_port.isdigit() else 0)
        if wrong:
            raise ValueError(f"content line {one.line}: {one.key} = {one.value}: {wrong}")


def _what_is_wrong(one: Assignment, current: Optional[str], first_port: int) -> Optional[str]:
    if current is None:
        return None if one.optional else f'this kernel has no such key; write "-{one.key} = ..." if it may be missing'
    if one.value.lower() in _BOOLEAN_WORDS and current.replace("-", "").isdigit():
        return "this key holds a number, not a boolean; write 0 or 1"
    try:
        if one.key == sysctl.PORT_RANGE and parse_range(one.value).low < first_port:
            return f"the range must not begin below {sysctl.UNPRIVILEGED_PORT_START}, which is {first_port}"
        if one.key == sysctl.RESERVED_PORTS:
            parse_ports(one.value)
        if one.key == sysctl.UNPRIVILEGED_PORT_START and not one.value.isdigit():
            return "this is not a port"
    except ValueError as error:
        return str(error)
    return None


def _with_content(file: Optional[FileState], text: str) -> FileState:
    """The file with another content; a new one belongs to who runs this and is readable for all."""
    content = (text if text.endswith("\n") or not text else text + "\n").encode()
    if file is not None:
        return file._replace(content=content)
    return FileState(content, _NEW_FILE_MODE, os.geteuid(), os.getegid(), None)


def _origin_of(key: str, origin: Mapping[str, str], applied: Mapping[str, str], current: str, wanted: str) -> str:
    """The value that a rollback restores: from before the first apply, and what somebody else has decided since."""
    if key not in origin:
        return current
    if sysctl.same(key, current, applied[key]):
        return origin[key]
    if key == sysctl.RESERVED_PORTS:
        return str(parse_ports(origin[key]) | (parse_ports(current) - parse_ports(applied[key])))
    return current if sysctl.same(key, current, wanted) else origin[key]


def _still_ours(
    journal: Journal, before: Snapshot, values: Mapping[str, Optional[str]], keys: Iterable[str]
) -> Dict[str, str]:
    """The earlier values of those keys that still have the value applied: the others are somebody else's by now."""
    if journal.applied is None:
        return {}
    current = {key: values[key] or "" for key in keys if values[key] is not None}
    return {
        key: before.values[key]
        for key, value in current.items()
        if sysctl.same(key, value, journal.applied.values[key])
    }


def _is_edited(start: Start) -> bool:
    """Whether somebody else has changed the file since the last apply, other than back to the original.

    A file that is gone is no decision about its content.
    """
    known = (start.journal.origin, start.journal.applied)
    contents = [one.file and one.file.content for one in known if one is not None]
    return start.file is not None and bool(contents) and start.file.content not in contents


def _keys_set_by(file: Optional[FileState], keys: Iterable[str]) -> Set[str]:
    """Those of the keys that an edited file may set: all where it cannot be read."""
    try:
        named = {one.key for one in syntax.parse(file.content.decode())} if file else set()
    except ValueError:
        return set(keys)
    return named.intersection(keys)


def _keep_only(journal: Journal, keys: Set[str]) -> Journal:
    """The journal with these keys only: the others have been rolled back, or are somebody else's."""

    def only(snapshot: Optional[Snapshot]) -> Optional[Snapshot]:
        return snapshot and snapshot._replace(values={key: snapshot.values[key] for key in sorted(keys)})

    return Journal(only(journal.origin), only(journal.applied), None)


def _nothing_left(start: Start) -> ApplyResult:
    """The outcome of a run that changes neither file nor values."""
    return ApplyResult(start.recovered, start.recovered, [], start.file, start.file, False, False)


def _trial_after(journal: Journal, now: Snapshot, target: Snapshot) -> Optional[Journal]:
    """What it takes to roll back a change from now to the target, and an earlier one that is still on trial.

    Where nothing changes, none but the earlier one is on trial.
    """
    if not _differ(now, target):
        return journal.trial
    earlier = journal.trial
    if earlier is None or earlier.pending is None:
        return journal._replace(pending=now, trial=None)
    before = earlier.pending
    return earlier._replace(pending=before._replace(values={**now.values, **before.values}))


def _without_trial(journal: Journal, restored: Mapping[str, str]) -> Journal:
    """The journal once some keys have the values of before the trial, while the others have become somebody else's."""
    applied = journal.applied and journal.applied._replace(values={**journal.applied.values, **restored})
    return Journal(journal.origin, applied, None)


def _key_result(key: str, current: Optional[str], wanted: Optional[str], target: Optional[str]) -> KeyResult:
    if current is None:
        return KeyResult(key, wanted, None, None, "skipped")
    before = sysctl.spelled(key, current)
    after = before if target is None else sysctl.spelled(key, target)
    if target is None:
        return KeyResult(key, wanted, before, after, "kept")
    if wanted is None:
        return KeyResult(key, None, before, after, "restored")
    return KeyResult(key, wanted, before, after, "unchanged" if sysctl.same(key, before, after) else "changed")


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
    _check_permissions(dropin, changes, target.file != now.file)
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


def _check_permissions(dropin: Dropin, keys: Iterable[str], writes_file: bool) -> None:
    """Find out before anything is changed, and in check mode too, what could not be written. Raises ApplyError."""
    for key in keys:
        path = sysctl.path_of(key, dropin.root)
        if _is_read_only(path):
            raise ApplyError(
                f"{dropin.root} is read-only here, as in an unprivileged container, so {key} cannot be set; "
                "run this on the host, or start the container with a writable /proc/sys"
            )
        if not _may_write(path):
            raise ApplyError(f"no permission to set {key}; run this as root (become: true)")
    state_directory = os.path.dirname(dropin.journal)
    if not os.path.isdir(state_directory):
        state_directory = os.path.dirname(state_directory)
    for directory in [state_directory, *([dropin.directory] if writes_file else [])]:
        if not _may_write(directory):
            why = "it is read-only" if _is_read_only(directory) else "run this as root (become: true)"
            raise ApplyError(f"no permission to write into {directory}; {why}")


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


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


def format_os_error(error: OSError) -> str:
    words = error.strerror or str(error)
    if isinstance(error, PermissionError):
        words += "; run this as root (become: true)"
    return f"{error.filename}: {words}" if error.filename else words

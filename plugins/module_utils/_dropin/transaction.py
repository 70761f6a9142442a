# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a sysctl drop-in and the running kernel together, or neither.

Under a lock: note in the ledger how things are, replace the file, write the running values in a safe order, read them
back, commit the ledger. Any failure on the way puts back what was there; after a crash the next run does that first.
"""

import errno
import os
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._kernel import sysctl
from .._kernel.ports import parse_ports, parse_range
from . import durable_file, journal, syntax
from .durable_file import FileState
from .journal import Ledger, Snapshot
from .syntax import Assignment

_NEW_FILE_MODE = 0o644
_BOOLEAN_WORDS = ("true", "false", "yes", "no", "on", "off")


class ApplyError(Exception):
    """The change was not made. All is as before, unless the message says otherwise."""


class Record(NamedTuple):
    """What became of a key. Values are None where the kernel has no such key, or none is wanted.

    status: changed, unchanged, skipped (the kernel lacks it, and it is optional), restored (taken back), or kept (it
    was to be taken back, but somebody else has since changed it, or the file that sets it).
    """

    key: str
    wanted: Optional[str]
    before: Optional[str]
    after: Optional[str]
    status: str


class Outcome(NamedTuple):
    """What a run did, or would do in check mode.

    recovered: it first undid a run that had broken off. file_kept: the file was to be taken back, but somebody else has
    changed it since. on_trial: the record says afterwards that a change is on trial.
    """

    changed: bool
    recovered: bool
    records: List[Record]
    file_before: Optional[FileState]
    file_after: Optional[FileState]
    file_kept: bool
    on_trial: bool


class Dropin:
    """Where a drop-in, its ledger and the running values are.

    path may be a link; target is the file itself. root is /proc/sys. Raises ValueError for a path that cannot serve.
    """

    def __init__(self, path: str, state_dir: str, root: str = sysctl.PROC_SYS) -> None:
        if not os.path.isabs(path) or not path.endswith(".conf"):
            raise ValueError(f"path must be absolute and end in .conf, or no loader reads it; {path} does not")
        self.path = path
        self.target = os.path.realpath(path)
        self.directory = os.path.dirname(self.target)
        self.ledger = journal.path_for(state_dir, self.target)
        self.root = root
        if self.target == os.devnull:
            raise ValueError(f"path {path} is a link to {os.devnull}, which masks it; remove the link first")
        if not os.path.isdir(self.directory):
            raise ValueError(f"path {path} needs the directory {self.directory}, which does not exist")
        if not os.path.isabs(state_dir):
            raise ValueError(f"state_dir must be absolute; {state_dir} is not")
        above = os.path.dirname(os.path.dirname(self.ledger))
        if not os.path.isdir(above):
            raise ValueError(f"state_dir {state_dir} needs the directory {above}, which does not exist")


class Start(NamedTuple):
    """How things are as a run begins. values: running values that check mode has to assume instead of the real ones."""

    ledger: Ledger
    file: Optional[FileState]
    values: Dict[str, str]
    recovered: bool


# Sees what the file and the values will be, before anything is changed, and may raise to prevent it.
Review = Callable[[Optional[FileState], Mapping[str, Optional[str]]], None]
# The values that other sysctl files give to keys at boot, once the drop-in is what the first argument says.
Others = Callable[[Optional[FileState], Iterable[str]], Mapping[str, str]]


def _agree(_file: Optional[FileState], _wanted: Mapping[str, Optional[str]]) -> None:
    """A review that finds nothing."""


def _no_others(_file: Optional[FileState], _keys: Iterable[str]) -> Mapping[str, str]:
    return {}


def apply(
    dropin: Dropin, text: str, lock_timeout_s: float, check: bool, review: Review = _agree, trial: bool = False
) -> Outcome:
    """Make the file and the running values those of the text.

    A key that an earlier text named and this one does not keeps its running value; take_back() brings it back too.
    trial: record a change as one that take_back() can undo by itself; otherwise no change is on trial afterwards.
    Raises ValueError for bad input, ApplyError, LockedError, OSError, or what review raises.
    """
    assignments = syntax.parse(text)
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        origin = start.ledger.origin or Snapshot(start.file, {})
        named = {assignment.key: assignment.value for assignment in assignments}
        values = _read_values(dropin, start, named)
        _check_values(assignments, values, _read_values(dropin, start, [sysctl.UNPRIVILEGED_PORT_START]))

        wanted = {key: value for key, value in named.items() if values[key] is not None}
        now, target = Snapshot(start.file, _those(values, wanted)), Snapshot(_with_content(start.file, text), wanted)
        applied = start.ledger.applied.values if start.ledger.applied else {}
        first = {key: _origin_of(key, origin.values, applied, values[key] or "", wanted[key]) for key in wanted}
        ledger = Ledger(
            Snapshot(origin.file, {**origin.values, **first}),
            Snapshot(target.file, {**applied, **wanted}),
            None,
            _trial(start.ledger, now, target) if trial else None,
        )
        review(target.file, wanted)
        changed = _commit(dropin, start, now, target, ledger, check)
        records = [_record(key, values[key], named.get(key), target.values.get(key)) for key in values]
        on_trial = ledger.trial is not None
        return Outcome(changed or start.recovered, start.recovered, records, start.file, target.file, False, on_trial)


def confirm(dropin: Dropin, lock_timeout_s: float, check: bool) -> Outcome:
    """End the trial of a change: it stays. Without one, change nothing. Raises as apply()."""
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        if start.ledger.trial is not None and not check:
            _check_permissions(dropin, [], False)
            journal.save(dropin.ledger, start.ledger._replace(trial=None))
        return _nothing_left(start)


def take_back(
    dropin: Dropin, lock_timeout_s: float, check: bool, others: Others = _no_others, trial: bool = False
) -> Outcome:
    """Bring back file and running values of before the first apply; without one, change nothing.

    trial: only those of before the change that is on trial, and the record of that time; without a trial, nothing.

    What somebody else has changed since is kept. If that is the file, so are the keys that it sets, and the record of
    the original stays until the file can be taken back too. A key that another sysctl file sets gets that value, as it
    will at boot. Raises as apply().
    """
    with durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        earlier = start.ledger.trial
        if trial and earlier is None:
            return _nothing_left(start)
        before = (earlier.pending if trial and earlier else start.ledger.origin) or Snapshot(start.file, {})
        values = _read_values(dropin, start, before.values)
        file_kept = _is_edited(start)
        claimed = _keys_set_by(start.file, before.values) if file_kept else set()
        file = start.file if file_kept else before.file
        taken_back = _still_ours(start.ledger, before, values, [key for key in values if key not in claimed])
        if trial and earlier:
            ledger = _without_trial(start.ledger, taken_back) if file_kept else earlier._replace(pending=None)
        else:
            taken_back.update(others(file, list(taken_back)))
            ledger = _reduced(start.ledger, claimed) if file_kept else journal.EMPTY
        now, target = Snapshot(start.file, _those(values, taken_back)), Snapshot(file, taken_back)
        changed = _commit(dropin, start, now, target, ledger, check)
        records = [_record(key, values[key], None, target.values.get(key)) for key in values]
        return Outcome(changed or start.recovered, start.recovered, records, start.file, target.file, file_kept, False)


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
    """Look at file and ledger, and undo what a run left half done (in check mode: assume that it is undone)."""
    ledger = journal.load(dropin.ledger)
    pending = ledger.pending and _that_exist(dropin, ledger.pending)
    if check:
        if pending is None:
            return Start(ledger, durable_file.read(dropin.target), {}, False)
        return Start(ledger, pending.file, pending.values, True)
    for path in (dropin.target, dropin.ledger):
        durable_file.remove(durable_file.temporary_path(path))
    if pending is not None:
        _restore(dropin, ledger, pending)
    return Start(ledger._replace(pending=None), durable_file.read(dropin.target), {}, pending is not None)


def _that_exist(dropin: Dropin, snapshot: Snapshot) -> Snapshot:
    """Without the keys that are gone, as after a reboot into another kernel."""
    values = {key: value for key, value in snapshot.values.items() if sysctl.read(key, dropin.root) is not None}
    return snapshot._replace(values=values)


def _read_values(dropin: Dropin, start: Start, keys: Iterable[str]) -> Dict[str, Optional[str]]:
    """Raises ApplyError for a key that only takes writes, such as net.ipv4.route.flush."""
    try:
        return {key: start.values.get(key, sysctl.read(key, dropin.root)) for key in keys}
    except PermissionError as error:
        raise ApplyError(f"{error.filename} cannot be read, so a change of it could not be taken back") from error


def _check_values(
    assignments: Sequence[Assignment], values: Mapping[str, Optional[str]], start: Mapping[str, Optional[str]]
) -> None:
    """Refuse what the kernel would refuse, or worse, take for something else. Raises ValueError that names the line."""
    first_port = {**start, **{one.key: one.value for one in assignments}}.get(sysctl.UNPRIVILEGED_PORT_START) or "0"
    for one in assignments:
        wrong = _what_is_wrong(one, values[one.key], int(first_port) if first_port.isdigit() else 0)
        if wrong:
            raise ValueError(f"content line {one.line}: {one.key} = {one.value}: {wrong}")


def _what_is_wrong(one: Assignment, present: Optional[str], first_port: int) -> Optional[str]:
    if present is None:
        return None if one.optional else f'this kernel has no such key; write "-{one.key} = ..." if it may be missing'
    if one.value.lower() in _BOOLEAN_WORDS and present.replace("-", "").isdigit():
        return "a boolean is no value for a key that holds a number; write 0 or 1"
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


def _origin_of(key: str, origin: Mapping[str, str], applied: Mapping[str, str], present: str, wanted: str) -> str:
    """The value that a rollback brings back: of before the first apply, and what somebody else has decided since."""
    if key not in origin:
        return present
    if sysctl.same(key, present, applied[key]):
        return origin[key]
    if key == sysctl.RESERVED_PORTS:
        return str(parse_ports(origin[key]) | (parse_ports(present) - parse_ports(applied[key])))
    return present if sysctl.same(key, present, wanted) else origin[key]


def _still_ours(
    ledger: Ledger, before: Snapshot, values: Mapping[str, Optional[str]], keys: Iterable[str]
) -> Dict[str, str]:
    """The earlier values of those keys that still have the value applied: the others are somebody else's by now."""
    if ledger.applied is None:
        return {}
    present = {key: values[key] or "" for key in keys if values[key] is not None}
    return {
        key: before.values[key]
        for key, value in present.items()
        if sysctl.same(key, value, ledger.applied.values[key])
    }


def _is_edited(start: Start) -> bool:
    """Whether somebody else has changed the file since the last apply, other than back to the original.

    A file that is gone is no decision about its content.
    """
    known = (start.ledger.origin, start.ledger.applied)
    contents = [one.file and one.file.content for one in known if one is not None]
    return start.file is not None and bool(contents) and start.file.content not in contents


def _keys_set_by(file: Optional[FileState], keys: Iterable[str]) -> Set[str]:
    """Those of the keys that an edited file may set: all where it cannot be read."""
    try:
        named = {one.key for one in syntax.parse(file.content.decode())} if file else set()
    except ValueError:
        return set(keys)
    return named.intersection(keys)


def _reduced(ledger: Ledger, keys: Set[str]) -> Ledger:
    """The ledger without those keys that have been taken back, or are somebody else's."""

    def only(snapshot: Optional[Snapshot]) -> Optional[Snapshot]:
        return snapshot and snapshot._replace(values={key: snapshot.values[key] for key in sorted(keys)})

    return Ledger(only(ledger.origin), only(ledger.applied), None)


def _nothing_left(start: Start) -> Outcome:
    """The outcome of a run that changes neither file nor values."""
    return Outcome(start.recovered, start.recovered, [], start.file, start.file, False, False)


def _trial(ledger: Ledger, now: Snapshot, target: Snapshot) -> Optional[Ledger]:
    """What it takes to undo a change from now to the target, and an earlier one that is on trial still.

    Where nothing changes, none but the earlier one is on trial.
    """
    if not _differ(now, target):
        return ledger.trial
    earlier = ledger.trial
    if earlier is None or earlier.pending is None:
        return ledger._replace(pending=now, trial=None)
    before = earlier.pending
    return earlier._replace(pending=before._replace(values={**now.values, **before.values}))


def _without_trial(ledger: Ledger, taken_back: Mapping[str, str]) -> Ledger:
    """The ledger once some keys have the values of before the trial, while the others have become somebody else's."""
    applied = ledger.applied and ledger.applied._replace(values={**ledger.applied.values, **taken_back})
    return Ledger(ledger.origin, applied, None)


def _record(key: str, present: Optional[str], wanted: Optional[str], target: Optional[str]) -> Record:
    if present is None:
        return Record(key, wanted, None, None, "skipped")
    before = sysctl.spelled(key, present)
    after = before if target is None else sysctl.spelled(key, target)
    if target is None:
        return Record(key, wanted, before, after, "kept")
    if wanted is None:
        return Record(key, None, before, after, "restored")
    return Record(key, wanted, before, after, "unchanged" if sysctl.same(key, before, after) else "changed")


def _those(values: Mapping[str, Optional[str]], keys: Iterable[str]) -> Dict[str, str]:
    return {key: values[key] or "" for key in keys}


def _differ(now: Snapshot, target: Snapshot) -> bool:
    return target.file != now.file or bool(steps(now.values, target.values))


def _commit(
    dropin: Dropin,
    start: Start,
    now: Snapshot,
    target: Snapshot,
    ledger: Ledger,
    check: bool,
) -> bool:
    """Bring about the target, or leave everything as it was. Tells whether there is anything to change."""
    if not _differ(now, target):
        # What was so from the start is not ours to take back; it is recorded only beside what is.
        if not check and (start.ledger.origin or ledger == journal.EMPTY):
            journal.save(dropin.ledger, ledger)
        return False
    changes = [key for key, _value in steps(now.values, target.values)]
    _check_permissions(dropin, changes, target.file != now.file)
    if check:
        return True
    try:
        journal.save(dropin.ledger, start.ledger._replace(pending=now))
        _put(dropin, target)
        _verify(dropin, target.values)
        journal.save(dropin.ledger, ledger)
    except BaseException as error:
        done = _is_done(dropin, target, ledger)
        if not done:
            _restore(dropin, start.ledger, now)
        if isinstance(error, OSError):
            how = "changed, but a power cut may undo that" if done else "as it was before"
            raise ApplyError(f"{in_words(error)}; everything is {how}") from error
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
    ledger_directory = os.path.dirname(dropin.ledger)
    if not os.path.isdir(ledger_directory):
        ledger_directory = os.path.dirname(ledger_directory)
    for directory in [ledger_directory, *([dropin.directory] if writes_file else [])]:
        if not _may_write(directory):
            why = "it is read-only" if _is_read_only(directory) else "run this as root (become: true)"
            raise ApplyError(f"no permission to write into {directory}; {why}")


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _put(dropin: Dropin, target: Snapshot) -> None:
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
        present = sysctl.read(key, dropin.root)
        if present is None or not sysctl.same(key, present, value):
            raise OSError(errno.EINVAL, f"the kernel made {present} of {key} = {value}")


def _is_done(dropin: Dropin, target: Snapshot, ledger: Ledger) -> bool:
    """Whether a change that ended with an error got past the point of no return: nothing says any more how to undo it.

    Only the last sync to the disk can have failed then.
    """
    try:
        _verify(dropin, target.values)
        return durable_file.read(dropin.target) == target.file and journal.load(dropin.ledger) == ledger
    except (OSError, ValueError):
        return False


def _restore(dropin: Dropin, ledger: Ledger, snapshot: Snapshot) -> None:
    """Put back file and values, and only then forget that a change was under way. Raises ApplyError."""
    try:
        _put(dropin, snapshot)
        _verify(dropin, snapshot.values)
        journal.save(dropin.ledger, ledger._replace(pending=None))
    except OSError as error:
        raise ApplyError(
            f"a change broke off and could not be undone: {in_words(error)}; "
            f"the next run will try again (to give up instead, move {dropin.ledger} away)"
        ) from error


def in_words(error: OSError) -> str:
    words = error.strerror or str(error)
    if isinstance(error, PermissionError):
        words += "; run this as root (become: true)"
    return f"{error.filename}: {words}" if error.filename else words

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a sysctl drop-in and the running kernel together, or neither.

Under a lock: note in the ledger how things are, replace the file, write the running values in a safe order, read them
back, commit the ledger. Any failure on the way puts back what was there; after a crash the next run does that first.
"""

import errno
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import _durable_file, _ledger, _sysctl, _sysctl_files
from ._durable_file import FileState
from ._ledger import Ledger, Snapshot
from ._port_range import parse_ports, parse_range
from ._sysctl_files import Assignment

_NEW_FILE_MODE = 0o644
_BOOLEAN_WORDS = ("true", "false", "yes", "no", "on", "off")


class ApplyError(Exception):
    """The change was not made. All is as before, unless the message says otherwise."""


class Record(NamedTuple):
    """What became of a key. Values are None where the kernel has no such key, or none is wanted.

    status: changed, unchanged, skipped (the kernel lacks it, and it is optional), restored (taken back), or kept (it
    was to be taken back, but somebody else has set it since).
    """

    key: str
    wanted: Optional[str]
    before: Optional[str]
    after: Optional[str]
    status: str


class Outcome(NamedTuple):
    """What a run did, or would do in check mode. recovered: it first undid a run that had broken off."""

    changed: bool
    recovered: bool
    records: List[Record]
    file_before: Optional[FileState]
    file_after: Optional[FileState]


class Dropin:
    """Where a drop-in, its ledger and the running values are.

    path may be a link; target is the file itself. root is /proc/sys. Raises ValueError for a path that cannot serve.
    """

    def __init__(self, path: str, state_dir: str, root: str = _sysctl.PROC_SYS) -> None:
        if not os.path.isabs(path) or not path.endswith(".conf"):
            raise ValueError(f"path must be absolute and end in .conf, or no loader reads it; {path} does not")
        self.path = path
        self.target = os.path.realpath(path)
        self.directory = os.path.dirname(self.target)
        self.ledger = _ledger.path_for(state_dir, path)
        self.root = root
        if self.target == os.devnull:
            raise ValueError(f"path {path} is a link to {os.devnull}, which masks it; remove the link first")
        if not os.path.isdir(self.directory):
            raise ValueError(f"path {path} needs the directory {self.directory}, which does not exist")


class Start(NamedTuple):
    """How things are as a run begins. values: running values that check mode has to assume instead of the real ones."""

    ledger: Ledger
    file: Optional[FileState]
    values: Dict[str, str]
    recovered: bool


def apply(dropin: Dropin, text: str, lock_timeout_s: float, check: bool) -> Outcome:
    """Make the file and the running values those of the text; keys that it no longer names are taken back.

    Raises ValueError for bad input, ApplyError, LockedError, or OSError.
    """
    assignments = _sysctl_files.parse(text)
    with _durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        origin = start.ledger.origin or Snapshot(start.file, {})
        named = [assignment.key for assignment in assignments]
        values = _read_values(dropin, start, [*named, *origin.values])
        _check_values(assignments, values, _read_values(dropin, start, [_sysctl.UNPRIVILEGED_PORT_START]))

        wanted = {one.key: one.value for one in assignments if values[one.key] is not None}
        taken_back = _still_ours(start.ledger, values, [key for key in origin.values if key not in named])
        target = Snapshot(_with_content(start.file, text), {**wanted, **taken_back})
        first = {key: origin.values.get(key, values[key] or "") for key in wanted}
        changed = _commit(dropin, start, values, target, Ledger(Snapshot(origin.file, first), wanted, None), check)
        return Outcome(
            changed or start.recovered,
            start.recovered,
            [_record(key, values[key], wanted.get(key), target.values.get(key)) for key in values],
            start.file,
            target.file,
        )


def take_back(dropin: Dropin, lock_timeout_s: float, check: bool) -> Outcome:
    """Bring back file and running values of before the first apply; without one, change nothing.

    Raises as apply().
    """
    with _durable_file.locked(dropin.directory, lock_timeout_s):
        start = _begin(dropin, check)
        if start.ledger.origin is None:
            return Outcome(start.recovered, start.recovered, [], start.file, start.file)
        values = _read_values(dropin, start, start.ledger.origin.values)
        target = Snapshot(start.ledger.origin.file, _still_ours(start.ledger, values, values))
        changed = _commit(dropin, start, values, target, _ledger.EMPTY, check)
        return Outcome(
            changed or start.recovered,
            start.recovered,
            [_record(key, values[key], None, target.values.get(key)) for key in values],
            start.file,
            target.file,
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
        if _sysctl.same(key, now[key], value):
            continue
        if key == _sysctl.RESERVED_PORTS:
            old, new = parse_ports(now[key]), parse_ports(value)
            if new - old:
                early.append((key, str(old | new) if old - new else value))
            if old - new:
                late.append((key, value))
        elif key == _sysctl.UNPRIVILEGED_PORT_START:
            (early if int(value) < int(now[key]) else late).append((key, value))
        else:
            middle.append((key, value))
    return early + middle + late


def _begin(dropin: Dropin, check: bool) -> Start:
    """Look at file and ledger, and undo what a run left half done (in check mode: assume that it is undone)."""
    ledger = _ledger.load(dropin.ledger)
    if check:
        if ledger.pending is None:
            return Start(ledger, _durable_file.read(dropin.target), {}, False)
        return Start(ledger, ledger.pending.file, ledger.pending.values, True)
    for path in (dropin.target, dropin.ledger):
        _durable_file.remove(_durable_file.temporary_path(path))
    if ledger.pending is not None:
        _restore(dropin, ledger, ledger.pending)
    recovered = ledger._replace(pending=None)
    return Start(recovered, _durable_file.read(dropin.target), {}, recovered != ledger)


def _read_values(dropin: Dropin, start: Start, keys: Iterable[str]) -> Dict[str, Optional[str]]:
    return {key: start.values.get(key, _sysctl.read(key, dropin.root)) for key in keys}


def _check_values(
    assignments: Sequence[Assignment], values: Mapping[str, Optional[str]], start: Mapping[str, Optional[str]]
) -> None:
    """Refuse what the kernel would refuse, or worse, take for something else. Raises ValueError that names the line."""
    first_port = {**start, **{one.key: one.value for one in assignments}}.get(_sysctl.UNPRIVILEGED_PORT_START) or "0"
    for one in assignments:
        wrong = _what_is_wrong(one, values[one.key], first_port)
        if wrong:
            raise ValueError(f"line {one.line}: {one.key} = {one.value}: {wrong}")


def _what_is_wrong(one: Assignment, present: Optional[str], first_port: str) -> Optional[str]:
    if present is None:
        return None if one.optional else f'this kernel has no such key; write "-{one.key} = ..." if it may be missing'
    if one.value.lower() in _BOOLEAN_WORDS and present.replace("-", "").isdigit():
        return "a boolean is no value for a key that holds a number; write 0 or 1"
    try:
        if one.key == _sysctl.PORT_RANGE and parse_range(one.value).low < int(first_port):
            return f"the range must not begin below {_sysctl.UNPRIVILEGED_PORT_START}, which is {first_port}"
        if one.key == _sysctl.RESERVED_PORTS:
            parse_ports(one.value)
        if one.key == _sysctl.UNPRIVILEGED_PORT_START:
            int(one.value)
    except ValueError as error:
        return str(error)
    return None


def _with_content(file: Optional[FileState], text: str) -> FileState:
    """The file with another content; a new one belongs to who runs this and is readable for all."""
    content = (text if text.endswith("\n") or not text else text + "\n").encode()
    if file is not None:
        return file._replace(content=content)
    return FileState(content, _NEW_FILE_MODE, os.geteuid(), os.getegid(), None)


def _still_ours(ledger: Ledger, values: Mapping[str, Optional[str]], keys: Iterable[str]) -> Dict[str, str]:
    """The original values of those keys that still have the value applied: the others are somebody else's by now."""
    ours = {}
    for key in keys:
        present = values[key]
        if ledger.origin and present is not None and _sysctl.same(key, present, ledger.applied[key]):
            ours[key] = ledger.origin.values[key]
    return ours


def _record(key: str, present: Optional[str], wanted: Optional[str], target: Optional[str]) -> Record:
    if present is None:
        return Record(key, wanted, None, None, "skipped")
    before = _sysctl.with_blanks(present)
    after = before if target is None else _sysctl.with_blanks(target)
    if target is None:
        return Record(key, wanted, before, after, "kept")
    if wanted is None:
        return Record(key, None, before, after, "restored")
    return Record(key, wanted, before, after, "unchanged" if _sysctl.same(key, before, after) else "changed")


def _commit(
    dropin: Dropin,
    start: Start,
    values: Mapping[str, Optional[str]],
    target: Snapshot,
    ledger: Ledger,
    check: bool,
) -> bool:
    """Bring about the target, or leave everything as it was. Tells whether there is anything to change."""
    now = Snapshot(start.file, {key: values[key] or "" for key in target.values})
    changes = steps(now.values, target.values)
    if not changes and target.file == now.file:
        if ledger == _ledger.EMPTY and not check:
            _ledger.save(dropin.ledger, ledger)
        return False
    _check_permissions(dropin, [key for key, _value in changes], target.file != now.file)
    if check:
        return True
    try:
        _ledger.save(dropin.ledger, start.ledger._replace(pending=now))
        _put(dropin, target)
        _verify(dropin, target.values)
        _ledger.save(dropin.ledger, ledger)
    except BaseException as error:
        _restore(dropin, start.ledger, now)
        if isinstance(error, OSError):
            raise ApplyError(f"{_in_words(error)}; everything is as it was before") from error
        raise
    return True


def _check_permissions(dropin: Dropin, keys: Iterable[str], writes_file: bool) -> None:
    """Find out before anything is changed, and in check mode too, what could not be written. Raises ApplyError."""
    for key in keys:
        path = _sysctl.path_of(key, dropin.root)
        if _is_read_only(path):
            raise ApplyError(
                f"{dropin.root} is read-only here, as in an unprivileged container, so {key} cannot be set; "
                "run this on the host, or start the container with a writable /proc/sys"
            )
        if not _may_write(path):
            raise ApplyError(f"no permission to set {key}; run this as root (become: true)")
    ledger_directory = os.path.dirname(dropin.ledger)
    while not os.path.exists(ledger_directory):
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
        _durable_file.remove(dropin.target)
    elif target.file != _durable_file.read(dropin.target):
        _durable_file.write(dropin.target, target.file)
    now = {key: _sysctl.read(key, dropin.root) or "" for key in target.values}
    for key, value in steps(now, target.values):
        _set_value(dropin, key, value)


def _set_value(dropin: Dropin, key: str, value: str) -> None:
    try:
        _sysctl.write(key, value, dropin.root)
    except OSError as error:
        raise OSError(error.errno, f"the kernel refused {key} = {value}: {error.strerror}") from error


def _verify(dropin: Dropin, values: Mapping[str, str]) -> None:
    """Raises OSError unless the kernel has the values."""
    for key, value in values.items():
        present = _sysctl.read(key, dropin.root)
        if present is None or not _sysctl.same(key, present, value):
            raise OSError(errno.EINVAL, f"the kernel made {present} of {key} = {value}")


def _restore(dropin: Dropin, ledger: Ledger, snapshot: Snapshot) -> None:
    """Put back file and values, and only then forget that a change was under way. Raises ApplyError."""
    try:
        _put(dropin, snapshot)
        _verify(dropin, snapshot.values)
        _ledger.save(dropin.ledger, ledger._replace(pending=None))
    except OSError as error:
        words = _in_words(error)
        raise ApplyError(f"a change broke off and could not be undone: {words}; the next run will try again") from error


def _in_words(error: OSError) -> str:
    words = error.strerror or str(error)
    return f"{error.filename}: {words}" if error.filename else words

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides on a value or the file: what this collection has applied, or somebody else since. Pure."""

from typing import Dict, Iterable, Mapping, NamedTuple, Optional, Set, Tuple

from .._boot.precedence import BootValue
from .._common.errors import OptionError
from .._kernel import sysctl
from .._kernel.keys import PORT_RANGE, RESERVED_PORTS
from .._kernel.ports import parse_ports, parse_range, range_ports
from . import syntax
from .durable_file import FileState
from .journal import History, Journal, Snapshot, Trial

Values = Dict[str, str]


class Other(NamedTuple):
    """What the journal of another drop-in says of a key. dropin: its file."""

    dropin: str
    origin: str
    applied: str


def other_owners(journals: Mapping[str, Tuple[str, Journal]], target: str) -> Dict[str, Other]:
    """The keys that other drop-ins have set; of several the one that a loader reads last."""
    return {
        key: Other(dropin, journal.history.origin.values[key], value)
        for dropin, (_path, journal) in journals.items()
        if journal.history and dropin != target
        for key, value in journal.history.applied.values.items()
    }


def extend_history(
    history: Optional[History],
    now: Snapshot,
    target: Snapshot,
    others: Mapping[str, Other],
    boot: Mapping[str, BootValue],
    asked: str,
) -> History:
    """The history once target has been applied over what is there now.

    boot: what other files set, of the keys that are new. asked: reserved ports that were asked for by name.
    """
    earlier = history or History(Snapshot(now.file, {}), Snapshot(now.file, {}), {})
    originals = {
        key: _original_value(earlier, key, now.values[key], target.values[key], others) for key in target.values
    }
    noted = {key: boot[key].value if key in boot else None for key in target.values if key not in earlier.boot}
    return History(
        earlier.origin._replace(values={**earlier.origin.values, **originals}),
        Snapshot(target.file, {**earlier.applied.values, **target.values}),
        {**earlier.boot, **noted},
        asked,
    )


def _original_value(history: History, key: str, current: str, wanted: str, others: Mapping[str, Other]) -> str:
    """The value that a rollback restores: from before the first apply, and what somebody else has decided since.

    Of a key that another drop-in has set first, it is the value from before that.
    """
    if key in history.origin.values:
        origin, applied = history.origin.values[key], history.applied.values[key]
    elif key in others:
        origin, applied = others[key].origin, others[key].applied
    else:
        return current
    if key == RESERVED_PORTS:
        return without_ours(origin, applied, current)
    if sysctl.same(key, current, applied):
        return origin
    return current if _follows(key, current, wanted) or key not in history.origin.values else origin


def _follows(key: str, decided: str, wanted: str) -> bool:
    """Whether what is wanted goes by what somebody else has decided: the same value, or a range that contains his."""
    if sysctl.same(key, decided, wanted):
        return True
    try:
        return key == PORT_RANGE and not range_ports(parse_range(decided)) - range_ports(parse_range(wanted))
    except ValueError:
        return False


def without_ours(origin: str, applied: str, current: str) -> str:
    """The current list of ports without what we have added to it, and with what we have dropped."""
    before, ours = parse_ports(origin), parse_ports(applied)
    return str((parse_ports(current) - (ours - before)) | (before - ours))


def extend_trial(journal: Journal, now: Snapshot, target: Snapshot) -> Trial:
    """The trial once a change of what is there now is on trial, together with the one that is on trial already."""
    earlier = journal.trial
    if earlier is None:
        return Trial(now, target.values, journal.history)
    before = earlier.before._replace(values={**now.values, **earlier.before.values})
    return Trial(before, {**earlier.after, **target.values}, earlier.history)


def values_to_restore(
    before: Mapping[str, str], applied: Mapping[str, str], current: Mapping[str, Optional[str]]
) -> Values:
    """The earlier values of the keys that still have the value applied: the others are somebody else's by now.

    Of a list of reserved ports ours are released, whatever somebody else has added or dropped.
    """
    restored = {}
    for key, value in current.items():
        if value is None:
            continue
        if sysctl.same(key, value, applied[key]):
            restored[key] = before[key]
        elif key == RESERVED_PORTS:
            left = without_ours(before[key], applied[key], value)
            if not sysctl.same(key, left, value):
                restored[key] = left
    return restored


def decided_since(
    values: Mapping[str, str], history: History, others: Mapping[str, Other], boot: Mapping[str, BootValue]
) -> Tuple[Values, Dict[str, BootValue]]:
    """The values to restore with what others have decided since the first apply, and the lines that decided it.

    Another drop-in that has set a key keeps its value. A file counts where what it sets has changed since; reservations
    are a union.
    """
    decided, lines = dict(values), {}
    for key, value in values.items():
        if key in others:
            decided[key] = _union(value, others[key].applied) if key == RESERVED_PORTS else others[key].applied
        line, noted = boot.get(key), history.boot[key]
        if line is None or line.value is None or (noted is not None and sysctl.same(key, noted, line.value)):
            continue
        lines[key] = line
        decided[key] = _union(decided[key], line.value) if key == RESERVED_PORTS else line.value
    return decided, lines


def _union(left: str, right: str) -> str:
    """Of two lists of ports; the second one alone where it is none."""
    try:
        return str(parse_ports(left) | parse_ports(right))
    except ValueError:
        return right


def is_edited(history: History, file: Optional[FileState]) -> bool:
    """Whether somebody else has changed the file since the last apply, other than back to the original.

    A file that is gone is no decision about its content.
    """
    contents = [one.file and one.file.content for one in (history.origin, history.applied)]
    return file is not None and file.content not in contents


def keys_set_by(file: Optional[FileState], keys: Iterable[str]) -> Set[str]:
    """Those of the keys that an edited file may set: all where it cannot be read."""
    try:
        named = {one.key for one in syntax.parse(file.content.decode())} if file else set()
    except (OptionError, UnicodeDecodeError):
        return set(keys)
    return named.intersection(keys)


def keep_keys(history: History, keys: Iterable[str], file: Optional[FileState]) -> History:
    """The history of these keys only: the others have been rolled back, or are somebody else's. file: as applied."""
    kept = sorted(keys)
    origin, applied = (
        one._replace(values={key: one.values[key] for key in kept}) for one in (history.origin, history.applied)
    )
    boot = {key: history.boot[key] for key in kept}
    return History(origin, applied._replace(file=file), boot, history.asked if RESERVED_PORTS in kept else "")


def after_trial(history: History, trial: Trial, restored: Mapping[str, str]) -> History:
    """The history once a trial was rolled back, but for the file, which somebody else has edited."""
    earlier = trial.history or history
    return History(
        Snapshot(earlier.origin.file, {**history.origin.values, **earlier.origin.values}),
        Snapshot(history.applied.file, {**earlier.applied.values, **history.applied.values, **restored}),
        {**history.boot, **earlier.boot},
        earlier.asked,
    )

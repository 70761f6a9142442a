# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides on a value or the file: what this collection has set, or what somebody else has decided since."""

from typing import Dict, Iterable, Mapping, Optional, Set

from .._kernel import sysctl
from .._kernel.ports import parse_ports
from . import syntax
from .durable_file import FileState
from .journal import Journal, Snapshot


def original_value(key: str, origin: Mapping[str, str], applied: Mapping[str, str], current: str, wanted: str) -> str:
    """The value that a rollback restores: from before the first apply, and what somebody else has decided since."""
    if key not in origin:
        return current
    if sysctl.same(key, current, applied[key]):
        return origin[key]
    if key == sysctl.RESERVED_PORTS:
        return str(parse_ports(origin[key]) | (parse_ports(current) - parse_ports(applied[key])))
    return current if sysctl.same(key, current, wanted) else origin[key]


def values_to_restore(
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


def is_edited(journal: Journal, file: Optional[FileState]) -> bool:
    """Whether somebody else has changed the file since the last apply, other than back to the original.

    A file that is gone is no decision about its content.
    """
    known = (journal.origin, journal.applied)
    contents = [one.file and one.file.content for one in known if one is not None]
    return file is not None and bool(contents) and file.content not in contents


def keys_set_by(file: Optional[FileState], keys: Iterable[str]) -> Set[str]:
    """Those of the keys that an edited file may set: all where it cannot be read."""
    try:
        named = {one.key for one in syntax.parse(file.content.decode())} if file else set()
    except ValueError:
        return set(keys)
    return named.intersection(keys)


def keep_only(journal: Journal, keys: Set[str]) -> Journal:
    """The journal with these keys only: the others have been rolled back, or are somebody else's."""

    def only(snapshot: Optional[Snapshot]) -> Optional[Snapshot]:
        return snapshot and snapshot._replace(values={key: snapshot.values[key] for key in sorted(keys)})

    return Journal(only(journal.origin), only(journal.applied), None)


def trial_after(journal: Journal, now: Snapshot, differs: bool) -> Optional[Journal]:
    """What it takes to roll back a change, and an earlier one that is still on trial.

    now: how things are before the change. differs: whether it changes anything; otherwise only the earlier one is on
    trial.
    """
    if not differs:
        return journal.trial
    earlier = journal.trial
    if earlier is None or earlier.pending is None:
        return journal._replace(pending=now, trial=None)
    before = earlier.pending
    return earlier._replace(pending=before._replace(values={**now.values, **before.values}))


def without_trial(journal: Journal, restored: Mapping[str, str]) -> Journal:
    """The journal once some keys have the values of before the trial, while the others have become somebody else's."""
    applied = journal.applied and journal.applied._replace(values={**journal.applied.values, **restored})
    return Journal(journal.origin, applied, None)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides on a value or the file: what this collection has applied, or what somebody else has decided since."""

from typing import Dict, Iterable, Mapping, Optional, Set

from .._errors import OptionError
from .._kernel import keys, sysctl
from .._kernel.ports import parse_ports
from . import syntax
from .durable_file import FileState
from .journal import History, Journal, Snapshot, Trial


def extend_history(history: Optional[History], now: Snapshot, target: Snapshot) -> History:
    """The history once target has been applied over what is there now."""
    earlier = history or History(Snapshot(now.file, {}), Snapshot(now.file, {}))
    originals = {key: _original_value(earlier, key, now.values[key], target.values[key]) for key in target.values}
    return History(
        earlier.origin._replace(values={**earlier.origin.values, **originals}),
        Snapshot(target.file, {**earlier.applied.values, **target.values}),
    )


def _original_value(history: History, key: str, current: str, wanted: str) -> str:
    """The value that a rollback restores: from before the first apply, and what somebody else has decided since."""
    if key not in history.origin.values:
        return current
    origin, applied = history.origin.values[key], history.applied.values[key]
    if sysctl.same(key, current, applied):
        return origin
    if key == keys.RESERVED_PORTS:
        return str(parse_ports(origin) | (parse_ports(current) - parse_ports(applied)))
    return current if sysctl.same(key, current, wanted) else origin


def extend_trial(journal: Journal, now: Snapshot) -> Trial:
    """The trial once a change of what is there now is on trial, together with the one that is on trial already."""
    earlier = journal.trial
    if earlier is None:
        return Trial(now, journal.history)
    before = earlier.before
    return earlier._replace(before=before._replace(values={**now.values, **before.values}))


def values_to_restore(
    history: History, before: Snapshot, current: Mapping[str, Optional[str]], claimed: Set[str]
) -> Dict[str, str]:
    """The earlier values of the keys that still have the value applied: the others are somebody else's by now.

    claimed: keys that an edited file sets. They are somebody else's, too.
    """
    return {
        key: before.values[key]
        for key, value in current.items()
        if value is not None and key not in claimed and sysctl.same(key, value, history.applied.values[key])
    }


def is_edited(history: History, file: Optional[FileState]) -> bool:
    """Whether somebody else has changed the file since the last apply, other than back to the original.

    A file that is gone is no decision about its content.
    """
    contents = [one.file and one.file.content for one in history]
    return file is not None and file.content not in contents


def keys_set_by(file: Optional[FileState], keys: Iterable[str]) -> Set[str]:
    """Those of the keys that an edited file may set: all where it cannot be read."""
    try:
        named = {one.key for one in syntax.parse(file.content.decode())} if file else set()
    except (OptionError, UnicodeDecodeError):
        return set(keys)
    return named.intersection(keys)


def keep_keys(history: History, keys: Set[str]) -> History:
    """The history of these keys only: the others have been rolled back, or are somebody else's."""
    return History(*(one._replace(values={key: one.values[key] for key in sorted(keys)}) for one in history))


def with_applied(history: History, values: Mapping[str, str]) -> History:
    """The history once these keys have been set to what they were before a trial."""
    return history._replace(applied=history.applied._replace(values={**history.applied.values, **values}))

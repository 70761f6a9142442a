# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a drop-in says of a host, for whoever only observes it."""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .._common.errors import Error
from .._kernel import sysctl
from .._sockets.known import Known
from . import durable_file, namespace_journal
from .durable_file import FileState
from .journal import History, Snapshot, journal_path, load_journal, load_journals
from .namespace_journal import Entry


class Applied(NamedTuple):
    """before, applied: the values of each key before the first apply and of the last one.

    asked: reserved ports that were asked for by name. origin: the text of the file before the first apply, None for no
    file. text: the one applied.
    """

    path: str
    before: Dict[str, str]
    applied: Dict[str, str]
    asked: str
    origin: Optional[str]
    text: str

    def describe(self) -> Dict[str, Any]:
        """What port_usage_info returns of it."""
        return {"path": self.path, "applied": _keys(self.before, self.applied), "asked": self.asked}


class Elsewhere(NamedTuple):
    """What the journal says of other network namespaces, at this boot."""

    boot: str
    entries: List[Entry]

    def describe(self, known: Known, cookie: Optional[int]) -> Optional[Dict[str, Any]]:
        """Of the namespace of this thread, as of the drop-in; None where nothing was set."""
        for entry in self.entries:
            if entry.boot == self.boot and known.is_described(entry.namespace, cookie):
                before, applied = _as_recovered(entry.history, entry.pending or {})
                asked = entry.history.asked if entry.history else ""
                return {"path": None, "applied": _keys(before, applied), "asked": asked}
        return None


NOWHERE = Elsewhere("", [])


def find_elsewhere(state_dir: str) -> Elsewhere:
    """As find_applied()."""
    try:
        entries = namespace_journal.load(state_dir)
        return Elsewhere(namespace_journal.boot_id(), entries) if entries else NOWHERE
    except (OSError, Error):
        return NOWHERE


def find_applied(path: str, state_dir: str) -> Optional[Applied]:
    """None where nothing was applied, or only root may see it. A journal that is none is no concern of an observer."""
    target = os.path.realpath(path)
    try:
        journal = load_journal(journal_path(state_dir, target))
        if journal.pending is not None:
            return _interrupted(target, journal.history, journal.pending)
    except (OSError, Error):
        return None
    if journal.history is None:
        return None
    origin, applied = journal.history.origin, journal.history.applied
    return Applied(
        target, origin.values, applied.values, journal.history.asked, _text(origin.file), _text(applied.file) or ""
    )


def find_other_dropins(path: str, state_dir: str) -> List[Dict[str, Any]]:
    """What this collection has set by other drop-ins, in the order in which a loader reads them."""
    target = os.path.realpath(path)
    return [
        {"path": dropin, "applied": _keys(history.origin.values, history.applied.values), "asked": history.asked}
        for dropin, history in ((one, journal.history) for one, (_path, journal) in load_journals(state_dir).items())
        if history and dropin != target
    ]


def _interrupted(target: str, history: Optional[History], pending: Snapshot) -> Applied:
    """As the next run will find it, once it has rolled back what an interrupted one left half done."""
    earlier = history or History(Snapshot(pending.file, {}), Snapshot(pending.file, {}), {})
    before, applied = _as_recovered(history, pending.values)
    return Applied(
        target, before, applied, earlier.asked, _text(earlier.origin.file), _text(durable_file.read(target)) or ""
    )


def _as_recovered(history: Optional[History], pending: Mapping[str, str]) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Values before the first apply and of the last one, with those that an interrupted run has set as ours."""
    before, applied = (dict(history.origin.values), dict(history.applied.values)) if history else ({}, {})
    for key, value in pending.items():
        applied[key], ours = sysctl.read(key) or "", applied.get(key)
        if ours is None or not sysctl.same(key, value, ours):
            before[key] = value
    return before, applied


def _keys(before: Mapping[str, str], applied: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
    return {key: {"before": before[key], "applied": value} for key, value in applied.items()}


def _text(file: Optional[FileState]) -> Optional[str]:
    return file.content.decode("utf-8", "surrogateescape") if file else None

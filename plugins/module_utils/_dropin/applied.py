# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a drop-in says of a host, for whoever only observes it."""

import os
from typing import Any, Dict, NamedTuple, Optional

from .._common.errors import Error
from .._kernel import sysctl
from . import durable_file
from .durable_file import FileState
from .journal import History, Snapshot, journal_path, load_journal


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
        keys = {key: {"before": self.before[key], "applied": value} for key, value in self.applied.items()}
        return {"path": self.path, "keys": keys, "asked": self.asked}


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


def _interrupted(target: str, history: Optional[History], pending: Snapshot) -> Applied:
    """As the next run will find it, once it has rolled back what an interrupted one left half done."""
    earlier = history or History(Snapshot(pending.file, {}), Snapshot(pending.file, {}), {})
    before, applied = dict(earlier.origin.values), dict(earlier.applied.values)
    for key, value in pending.values.items():
        applied[key], ours = sysctl.read(key) or "", applied.get(key)
        if ours is None or not sysctl.same(key, value, ours):
            before[key] = value
    return Applied(
        target, before, applied, earlier.asked, _text(earlier.origin.file), _text(durable_file.read(target)) or ""
    )


def _text(file: Optional[FileState]) -> Optional[str]:
    return file.content.decode("utf-8", "surrogateescape") if file else None

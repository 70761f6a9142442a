# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a drop-in: what must be remembered across runs, crashes and reboots, in one small JSON file.

It is one file, so that one rename commits a change and its bookkeeping together.
"""

import base64
import contextlib
import json
import os
from typing import Any, Dict, NamedTuple, Optional
from urllib.parse import quote

from . import durable_file
from .durable_file import FileState

_FORMAT = 1
_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class Snapshot(NamedTuple):
    """A drop-in (None: no file) and running values."""

    file: Optional[FileState]
    values: Dict[str, str]


class Journal(NamedTuple):
    """origin: how things were before the first apply. applied: what the last one made of them; both have the same keys.

    pending: how things were before the change that is under way.
    trial: this journal as it was while a change on trial was under way, which says all that it takes to roll it back.
    """

    origin: Optional[Snapshot]
    applied: Optional[Snapshot]
    pending: Optional[Snapshot]
    trial: Optional["Journal"] = None


EMPTY_JOURNAL = Journal(None, None, None)
_SNAPSHOTS = ("origin", "applied", "pending")


def journal_path(state_dir: str, dropin: str) -> str:
    """The journal of a drop-in; no two share one."""
    return os.path.join(state_dir, quote(dropin, safe="") + ".json")


def load_journal(path: str) -> Journal:
    """Raises ValueError where the file is not a journal."""
    state = durable_file.read(path)
    if state is None:
        return EMPTY_JOURNAL
    try:
        data = json.loads(state.content.decode())
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}")
        trial = data.get("trial")  # missing in journals of versions before there were trials
        journal = _journal(data)
        return journal if trial is None else journal._replace(trial=_trial(trial, journal))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error


def save_journal(path: str, journal: Journal) -> None:
    """Write the journal unless it is in place, or remove it once there is nothing to remember. Raises OSError.

    That a journal in place is not written again matters on a full disk, where it could not be.
    """
    directory = os.path.dirname(path)
    if journal == EMPTY_JOURNAL:
        durable_file.remove(path)
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # unless other drop-ins have theirs in it
    elif journal != load_journal(path):
        durable_file.make_directory(directory, _DIRECTORY_MODE)
        data = {"format": _FORMAT, **_as_json(journal), "trial": journal.trial and _as_json(journal.trial)}
        content = json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"
        durable_file.write(path, FileState(content, _FILE_MODE, os.geteuid(), os.getegid(), None))


def _damaged(path: str, why: str) -> ValueError:
    return ValueError(f"{path} is not a journal of this collection ({why}); move it away to start afresh")


def _as_json(journal: Journal) -> Dict[str, Any]:
    return {name: _snapshot_as_json(getattr(journal, name)) for name in _SNAPSHOTS}


def _journal(data: Dict[str, Any]) -> Journal:
    origin, applied, pending = (_snapshot(data[name]) for name in _SNAPSHOTS)
    journal = Journal(origin, applied, pending)
    if (journal.origin and set(journal.origin.values)) != (journal.applied and set(journal.applied.values)):
        raise ValueError("origin and applied do not match")
    return journal


def _trial(data: Dict[str, Any], journal: Journal) -> Journal:
    trial = _journal(data)
    if trial.pending is None or journal.applied is None or trial.pending.values.keys() - journal.applied.values.keys():
        raise ValueError("the trial is not one of what was applied")
    return trial


def _snapshot_as_json(snapshot: Optional[Snapshot]) -> Optional[Dict[str, Any]]:
    if snapshot is None:
        return None
    file = snapshot.file
    return {
        "values": snapshot.values,
        "file": file
        and {
            "content": base64.b64encode(file.content).decode(),
            "mode": file.mode,
            "uid": file.uid,
            "gid": file.gid,
            "context": file.context and base64.b64encode(file.context).decode(),
        },
    }


def _snapshot(data: Optional[Dict[str, Any]]) -> Optional[Snapshot]:
    if data is None:
        return None
    file = data["file"]
    return Snapshot(
        file
        and FileState(
            base64.b64decode(file["content"]),
            int(file["mode"]),
            int(file["uid"]),
            int(file["gid"]),
            file["context"] and base64.b64decode(file["context"]),
        ),
        {key: str(value) for key, value in data["values"].items()},
    )

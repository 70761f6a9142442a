# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drop-in's owner must remember across runs, crashes and reboots: one small JSON file per drop-in.

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


class Ledger(NamedTuple):
    """origin: how things were before the first apply. applied: what the last one made of them; both have the same keys.

    pending: how things were before the change that is under way.
    trial: this record as it was while a change on trial was under way, which says all that it takes to undo it.
    """

    origin: Optional[Snapshot]
    applied: Optional[Snapshot]
    pending: Optional[Snapshot]
    trial: Optional["Ledger"] = None


EMPTY = Ledger(None, None, None)
_SNAPSHOTS = ("origin", "applied", "pending")


def path_for(state_dir: str, dropin: str) -> str:
    """The ledger of a drop-in; no two share one."""
    return os.path.join(state_dir, quote(dropin, safe="") + ".json")


def load(path: str) -> Ledger:
    """Raises ValueError where the file is not a ledger."""
    state = durable_file.read(path)
    if state is None:
        return EMPTY
    try:
        data = json.loads(state.content.decode())
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}")
        trial = data.get("trial")  # missing in records of versions before there were trials
        ledger = _ledger(data)
        return ledger if trial is None else ledger._replace(trial=_trial(trial, ledger))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error


def save(path: str, ledger: Ledger) -> None:
    """Write the ledger unless it is what it should be, or remove it once there is nothing to remember. Raises OSError.

    That a ledger in place is not written again matters on a full disk, where it could not be.
    """
    directory = os.path.dirname(path)
    if ledger == EMPTY:
        durable_file.remove(path)
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # unless other drop-ins have theirs in it
    elif ledger != load(path):
        durable_file.make_directory(directory, _DIRECTORY_MODE)
        data = {"format": _FORMAT, **_as_json(ledger), "trial": ledger.trial and _as_json(ledger.trial)}
        content = json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"
        durable_file.write(path, FileState(content, _FILE_MODE, os.geteuid(), os.getegid(), None))


def _damaged(path: str, why: str) -> ValueError:
    return ValueError(f"{path} is not a record of this collection ({why}); move it away to start anew")


def _as_json(ledger: Ledger) -> Dict[str, Any]:
    return {name: _snapshot_as_json(getattr(ledger, name)) for name in _SNAPSHOTS}


def _ledger(data: Dict[str, Any]) -> Ledger:
    origin, applied, pending = (_snapshot(data[name]) for name in _SNAPSHOTS)
    ledger = Ledger(origin, applied, pending)
    if (ledger.origin and set(ledger.origin.values)) != (ledger.applied and set(ledger.applied.values)):
        raise ValueError("origin and applied do not match")
    return ledger


def _trial(data: Dict[str, Any], ledger: Ledger) -> Ledger:
    trial = _ledger(data)
    if trial.pending is None or ledger.applied is None or trial.pending.values.keys() - ledger.applied.values.keys():
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

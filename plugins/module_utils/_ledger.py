# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drop-in's owner must remember across runs, crashes and reboots: one small JSON file per drop-in.

origin: how file and running values were before the first apply. pending: how they were before the change that is under
way. Both lie in one file, so that one rename commits a change and its bookkeeping together.
"""

import base64
import contextlib
import json
import os
from typing import Any, Dict, NamedTuple, Optional

from . import _durable_file
from ._durable_file import FileState

_FORMAT = 1
_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class Snapshot(NamedTuple):
    """A drop-in (None: no file) and running values."""

    file: Optional[FileState]
    values: Dict[str, str]


class Ledger(NamedTuple):
    """applied: the value of each key of the origin that the drop-in last set."""

    origin: Optional[Snapshot]
    applied: Dict[str, str]
    pending: Optional[Snapshot]


EMPTY = Ledger(None, {}, None)


def path_for(state_dir: str, dropin: str) -> str:
    """The ledger of a drop-in. Slashes become dashes, and dashes are doubled, so that no two paths share one."""
    return os.path.join(state_dir, dropin.strip("/").replace("-", "--").replace("/", "-") + ".json")


def load(path: str) -> Ledger:
    """Raises ValueError where the file is not a ledger."""
    state = _durable_file.read(path)
    if state is None:
        return EMPTY
    try:
        data = json.loads(state.content.decode())
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}")
        return Ledger(_snapshot(data["origin"]), data["applied"], _snapshot(data["pending"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a record of this collection ({error}); move it away to start anew") from error


def save(path: str, ledger: Ledger) -> None:
    """Write the ledger, or remove it once there is nothing to remember. Raises OSError."""
    directory = os.path.dirname(path)
    if ledger == EMPTY:
        _durable_file.remove(path)
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # unless other drop-ins have theirs in it
        return
    if not os.path.isdir(directory):
        os.makedirs(directory, _DIRECTORY_MODE)
        _durable_file.sync_directory(os.path.dirname(directory))
    data = {
        "format": _FORMAT,
        "origin": _as_json(ledger.origin),
        "applied": ledger.applied,
        "pending": _as_json(ledger.pending),
    }
    content = json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"
    _durable_file.write(path, FileState(content, _FILE_MODE, os.geteuid(), os.getegid(), None))


def _as_json(snapshot: Optional[Snapshot]) -> Optional[Dict[str, Any]]:
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
            file["mode"],
            file["uid"],
            file["gid"],
            file["context"] and base64.b64decode(file["context"]),
        ),
        data["values"],
    )

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a drop-in: what must be remembered across runs, crashes and reboots, in one small JSON file.

It is one file, so that one rename commits a change and its bookkeeping together.
"""

import base64
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import quote

from .._errors import Error
from .._kernel import keys
from .._kernel.ports import parse_ports
from . import durable_file, syntax
from .durable_file import FileState
from .trust import check_file

_FORMAT = 2
_FILE_MODE = 0o600
_MAX_MODE = 0o7777
_MAX_ID = (1 << 32) - 2
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class JournalError(Error):
    """The file is not a journal; the text says why, and what to do."""


class Snapshot(NamedTuple):
    """A drop-in (None: no file) and running values."""

    file: Optional[FileState]
    values: Dict[str, str]


class History(NamedTuple):
    """origin: how things were before the first apply. applied: what the last one made of them. Same keys in both."""

    origin: Snapshot
    applied: Snapshot


class Trial(NamedTuple):
    """A change that can be rolled back by itself.

    before: the file and the values of the keys that it set, from before it. history: the one of that time.
    """

    before: Snapshot
    history: Optional[History]


class Journal(NamedTuple):
    """history: None before the first apply. pending: how things were before the change that is under way."""

    history: Optional[History]
    pending: Optional[Snapshot] = None
    trial: Optional[Trial] = None


EMPTY_JOURNAL = Journal(None)


def journal_path(state_dir: str, dropin: str) -> str:
    """The journal of a drop-in; no two share one."""
    return os.path.join(state_dir, quote(dropin, safe="") + ".json")


def load_journal(path: str) -> Journal:
    """Raises JournalError where the file is not a journal, UntrustedError where somebody else can have written it."""
    check_file("journal", path)
    state = durable_file.read(path)
    if state is None:
        return EMPTY_JOURNAL
    try:
        return _journal(json.loads(state.content.decode()))
    except (ValueError, RecursionError) as error:
        raise JournalError(
            f"{path} is not a journal of this collection ({error}); move it away to start afresh"
        ) from error


def save_journal(path: str, journal: Journal) -> None:
    """Write the journal unless it is in place, or remove it once there is nothing to remember. Raises OSError.

    That a journal in place is not written again matters on a full disk, where it could not be.
    """
    if journal == EMPTY_JOURNAL:
        durable_file.remove(path)
    elif journal != load_journal(path):
        content = json.dumps(_journal_as_json(journal), indent=1, sort_keys=True).encode() + b"\n"
        durable_file.write(path, FileState(content, _FILE_MODE, os.geteuid(), os.getegid(), None))


def _journal_as_json(journal: Journal) -> Dict[str, Any]:
    return {
        "format": _FORMAT,
        "history": _history_as_json(journal.history),
        "pending": _snapshot_as_json(journal.pending),
        "trial": journal.trial
        and {
            "before": _snapshot_as_json(journal.trial.before),
            "history": _history_as_json(journal.trial.history),
        },
    }


def _history_as_json(history: Optional[History]) -> Optional[Dict[str, Any]]:
    return history and {"origin": _snapshot_as_json(history.origin), "applied": _snapshot_as_json(history.applied)}


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


# What is read is checked in every part: each function raises ValueError that says what is wrong.


def _journal(data: object) -> Journal:
    if not isinstance(data, dict) or repr(data.get("format")) != repr(_FORMAT):  # neither 2.0 nor true
        raise ValueError(f"its format is not {_FORMAT}")
    _format, history, pending, trial = _fields("it", data, "format", "history", "pending", "trial")
    journal = Journal(
        None if history is None else _history(history),
        None if pending is None else _snapshot(pending),
        None if trial is None else _trial(trial),
    )
    if journal.trial is not None:
        applied = journal.history.applied.values if journal.history else {}
        if journal.history is None or journal.trial.before.values.keys() - applied.keys():
            raise ValueError("the trial is not one of what was applied")
    return journal


def _history(data: object) -> History:
    origin, applied = map(_snapshot, _fields("history", data, "origin", "applied"))
    if origin.values.keys() != applied.values.keys():
        raise ValueError("origin and applied do not match")
    return History(origin, applied)


def _trial(data: object) -> Trial:
    before, history = _fields("trial", data, "before", "history")
    return Trial(_snapshot(before), None if history is None else _history(history))


def _snapshot(data: object) -> Snapshot:
    file, values = _fields("a snapshot", data, "file", "values")
    if not isinstance(values, dict):
        raise ValueError("values are not an object")
    return Snapshot(None if file is None else _file(file), {key: _value(key, values[key]) for key in values})


def _value(key: str, value: object) -> str:
    if not syntax.is_key(key):
        raise ValueError("a key is not the name of a sysctl")
    if not isinstance(value, str) or any(ord(char) > 0xFF for char in value):
        raise ValueError(f"the value of {key} is not one that a kernel prints")
    if key == keys.RESERVED_PORTS:
        parse_ports(value)
    if key == keys.UNPRIVILEGED_PORT_START and not _PORT.match(value):
        raise ValueError(f"the value of {key} is not a port")
    return value


def _file(data: object) -> FileState:
    content, mode, uid, gid, context = _fields("file", data, "content", "mode", "uid", "gid", "context")
    return FileState(
        _bytes("content", content),
        _number("mode", mode, _MAX_MODE),
        _number("uid", uid, _MAX_ID),
        _number("gid", gid, _MAX_ID),
        None if context is None else _context(context),
    )


def _context(data: object) -> bytes:
    context = _bytes("context", data)
    if not context:
        raise ValueError("context is empty")
    return context


def _fields(what: str, data: object, *names: str) -> List[Any]:
    """The values of an object that has these fields and no others."""
    if not isinstance(data, dict) or data.keys() != set(names):
        raise ValueError(f"{what} does not consist of {', '.join(names)}")
    return [data[name] for name in names]


def _bytes(what: str, data: object) -> bytes:
    if not isinstance(data, str) or not _BASE64.match(data):
        raise ValueError(f"{what} is not Base64")
    return base64.b64decode(data)


def _number(what: str, data: object, most: int) -> int:
    if not isinstance(data, int) or isinstance(data, bool) or not 0 <= data <= most:
        raise ValueError(f"{what} is not a number from 0 to {most}")
    return data

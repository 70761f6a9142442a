# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a drop-in: what must be remembered across runs, crashes and reboots, in one small JSON file.

It is one file, so that one rename commits a change and its bookkeeping together.
"""

import base64
import contextlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import quote, unquote

from .._common.errors import Error
from .._kernel import keys
from .._kernel.ports import parse_ports
from . import durable_file, syntax
from .durable_file import FileState
from .trust import check_file

# A drop-in, and where its journal is, unless somebody names others.
DROPIN = "/etc/sysctl.d/99-zz-ephemeral-ports.conf"
STATE_DIR = "/var/lib/netops.ephemeral_ports"

_FORMAT = 3
_MOST_FORMATS = 100  # a number beyond is none
_SUFFIX = ".json"
_FILE_MODE = 0o600
_MAX_MODE = 0o7777
_MAX_ID = (1 << 32) - 2
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class JournalError(Error):
    """The file is not a journal; the text says why, and what to do."""


class NewerError(ValueError):
    """The file is of a format that this version does not know yet."""


class Snapshot(NamedTuple):
    """A drop-in (None: no file) and running values."""

    file: Optional[FileState]
    values: Dict[str, str]


class History(NamedTuple):
    """What was applied, and how things were before it. The keys are the same in all three.

    origin: before the first apply. applied: what the last one made of them. boot: what other files than the drop-in set
    at boot as of the first apply of each key, None for nothing: what they set since is a decision of somebody else.
    asked: those of the reserved ports that the caller was asked for by name.
    """

    origin: Snapshot
    applied: Snapshot
    boot: Dict[str, Optional[str]]
    asked: str = ""


class Trial(NamedTuple):
    """A change that can be rolled back by itself.

    before: the file and the values of the keys that it changed, from before it. after: the values that it set. history:
    the one of that time.
    """

    before: Snapshot
    after: Dict[str, str]
    history: Optional[History]


class Journal(NamedTuple):
    """history: None before the first apply. pending: how things were before the change that is under way."""

    history: Optional[History]
    pending: Optional[Snapshot] = None
    trial: Optional[Trial] = None


EMPTY_JOURNAL = Journal(None)


def journal_path(state_dir: str, dropin: str) -> str:
    """The journal of a drop-in; no two share one."""
    return os.path.join(state_dir, quote(dropin, safe="") + _SUFFIX)


def load_journal(path: str) -> Journal:
    """Raises JournalError where the file is not a journal, UntrustedError where somebody else can have written it."""
    return _load(path)[0]


def load_journals(state_dir: str) -> Dict[str, Tuple[str, Journal]]:
    """All journals of a state directory that can be read: the file of each, to the path by which it was first applied
    and what the journal says. In the order in which a loader reads files of one directory."""
    found = {}
    for name in sorted(_names(state_dir), key=lambda name: os.path.basename(unquote(name))):
        with contextlib.suppress(OSError, Error):
            journal, path = _load(os.path.join(state_dir, name))
            found[unquote(name[: -len(_SUFFIX)])] = path, journal
    return found


def _names(state_dir: str) -> List[str]:
    try:
        return [name for name in os.listdir(state_dir) if name.endswith(_SUFFIX)]
    except OSError:
        return []


def _load(path: str) -> Tuple[Journal, str]:
    check_file("journal", path)
    state = durable_file.read(path)
    if state is None:
        return EMPTY_JOURNAL, ""
    try:
        return _journal(json.loads(state.content.decode()))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> JournalError:
    """What is to be done differs: a journal that is moved away takes the way back along."""
    if isinstance(error, NewerError):
        return JournalError(f"{path} is of a newer version of this collection ({error}); use that version on this host")
    return JournalError(f"{path} is not a journal of this collection ({error}); move it away to start afresh")


def check_format(found: object, known: int) -> None:
    """Raises ValueError for another format, NewerError for one to come."""
    if repr(found) == repr(known):  # neither 3.0 nor true
        return
    if isinstance(found, int) and not isinstance(found, bool) and known < found < _MOST_FORMATS:
        raise NewerError(f"format {found}, and this one reads {known}")
    raise ValueError(f"its format is not {known}")


def save_journal(path: str, journal: Journal, dropin: str) -> None:
    """Write the journal unless it is in place, or remove it once there is nothing to remember. Raises OSError.

    dropin: its path, which is noted for the day when it no longer leads to the file. That a journal in place is not
    written again matters on a full disk, where it could not be.
    """
    if journal == EMPTY_JOURNAL:
        durable_file.remove(path)
    elif journal != load_journal(path):
        content = json.dumps({**_journal_as_json(journal), "path": dropin}, indent=1, sort_keys=True).encode() + b"\n"
        durable_file.write(path, FileState(content, _FILE_MODE, os.geteuid(), os.getegid(), None))


def _journal_as_json(journal: Journal) -> Dict[str, Any]:
    return {
        "format": _FORMAT,
        "history": history_as_json(journal.history),
        "pending": _snapshot_as_json(journal.pending),
        "trial": journal.trial
        and {
            "before": _snapshot_as_json(journal.trial.before),
            "after": journal.trial.after,
            "history": history_as_json(journal.trial.history),
        },
    }


def history_as_json(history: Optional[History]) -> Optional[Dict[str, Any]]:
    return history and {
        "origin": _snapshot_as_json(history.origin),
        "applied": _snapshot_as_json(history.applied),
        "boot": history.boot,
        "asked": history.asked,
    }


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


def _journal(data: object) -> Tuple[Journal, str]:
    check_format(data.get("format") if isinstance(data, dict) else None, _FORMAT)
    _format, path, history, pending, trial = read_fields("it", data, "format", "path", "history", "pending", "trial")
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
        raise ValueError("its path is not absolute")
    journal = Journal(
        None if history is None else read_history(history),
        None if pending is None else _snapshot(pending),
        None if trial is None else _trial(trial),
    )
    if journal.trial is not None and journal.history is None:
        raise ValueError("the trial is not one of what was applied")
    return journal, path


def read_history(data: object) -> History:
    origin, applied, boot, asked = read_fields("history", data, "origin", "applied", "boot", "asked")
    history = History(_snapshot(origin), _snapshot(applied), _boot(boot), _value(keys.RESERVED_PORTS, asked))
    if not history.origin.values.keys() == history.applied.values.keys() == history.boot.keys():
        raise ValueError("origin, applied and boot do not match")
    return history


def _trial(data: object) -> Trial:
    before, after, history = read_fields("trial", data, "before", "after", "history")
    trial = Trial(_snapshot(before), read_values(after), None if history is None else read_history(history))
    if trial.before.values.keys() != trial.after.keys():
        raise ValueError("before and after do not match")
    return trial


def _snapshot(data: object) -> Snapshot:
    file, values = read_fields("a snapshot", data, "file", "values")
    return Snapshot(None if file is None else _file(file), read_values(values))


def _boot(data: object) -> Dict[str, Optional[str]]:
    """Values as files have them: whether the kernel takes them does not matter."""
    if not isinstance(data, dict):
        raise ValueError("boot is not an object")
    for key, value in data.items():
        if not syntax.is_key(key) or not (value is None or isinstance(value, str)):
            raise ValueError("boot does not consist of sysctls and their values")
    return data


def read_values(data: object) -> Dict[str, str]:
    if not isinstance(data, dict):
        raise ValueError("values are not an object")
    return {key: _value(key, data[key]) for key in data}


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
    content, mode, uid, gid, context = read_fields("file", data, "content", "mode", "uid", "gid", "context")
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


def read_fields(what: str, data: object, *names: str) -> List[Any]:
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

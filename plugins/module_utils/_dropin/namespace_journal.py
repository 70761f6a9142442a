# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of what was set in other network namespaces: all of them in one small JSON file.

It is one file, so that one rename commits what was done in all of them together. An inode is given to another namespace
once its own has ended. So each is remembered by the boot and the kernel's cookie, too, or before Linux 5.14 its owner.
"""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional

from .._common.errors import Error
from .._kernel import sysctl
from . import durable_file
from .durable_file import FileState
from .journal import History, check_format, history_as_json, read_fields, read_history, read_values, unreadable
from .trust import check_file

# It does not end as the journals of drop-ins do.
NAME = "namespaces"

_FORMAT = 1
_FILE_MODE = 0o600
_BOOT_ID = "kernel/random/boot_id"
# Fields of Known.describe(), besides the inode and the cookie.
_DESCRIBED = ("own", "name", "owner", "pid", "program")


class Entry(NamedTuple):
    """What was set in a network namespace. pending: its running values before the change that is under way.

    namespace: what Known.describe() said of it.
    """

    boot: str
    namespace: Dict[str, Any]
    history: Optional[History]
    pending: Optional[Dict[str, str]] = None


def path_in(state_dir: str) -> str:
    return os.path.join(state_dir, NAME)


def boot_id(root: str = sysctl.PROC_SYS) -> str:
    with open(os.path.join(root, _BOOT_ID), encoding="ascii") as file:
        return file.read().strip()


def count(state_dir: str) -> int:
    """In how many network namespaces something is set, as far as a journal can be read."""
    try:
        return len(load(state_dir))
    except (OSError, Error):
        return 0


def load(state_dir: str) -> List[Entry]:
    """Raises JournalError where the file is not a journal, UntrustedError where somebody else can have written it."""
    path = path_in(state_dir)
    check_file("journal", path)
    state = durable_file.read(path)
    if state is None:
        return []
    try:
        return _entries(json.loads(state.content.decode()))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def save(state_dir: str, entries: List[Entry]) -> None:
    """Write the journal unless it is in place, or remove it once there is nothing to remember. Raises OSError."""
    path = path_in(state_dir)
    if not entries:
        durable_file.remove(path)
    elif entries != load(state_dir):
        content = {"format": _FORMAT, "namespaces": [_as_json(entry) for entry in entries]}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        durable_file.write(path, FileState(text.encode(), _FILE_MODE, os.geteuid(), os.getegid(), None))


def _as_json(entry: Entry) -> Dict[str, Any]:
    return {**entry._asdict(), "history": history_as_json(entry.history)}


def _entries(data: object) -> List[Entry]:
    check_format(data.get("format") if isinstance(data, dict) else None, _FORMAT)
    _format, entries = read_fields("it", data, "format", "namespaces")
    if not isinstance(entries, list):
        raise ValueError("its namespaces are not a list")
    return [_entry(entry) for entry in entries]


def _entry(data: object) -> Entry:
    boot, namespace, history, pending = read_fields("a namespace", data, "boot", "namespace", "history", "pending")
    described = read_fields("what it says of a namespace", namespace, "inode", "cookie", *_DESCRIBED)
    if not isinstance(boot, str) or not isinstance(described[0], int):
        raise ValueError("a namespace has no boot or no inode")
    return Entry(
        boot,
        namespace,
        None if history is None else read_history(history),
        None if pending is None else read_values(pending),
    )

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of sysctl_dropin share: its options with defaults that suit them, and what it may change."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import transaction
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import journal_path
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.run import run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl

from .inside import in_child, namespaces

DROPIN = Path("/etc/sysctl.d/99-zz-ephemeral-ports.conf")
STATE = Path("/var/lib/netops.ephemeral_ports/state")
JOURNAL = Path(journal_path(str(STATE), str(DROPIN)))
MS_RDONLY, MS_REMOUNT = 0x1, 0x20

RANGE = "net.ipv4.ip_local_port_range"
RESERVED = "net.ipv4.ip_local_reserved_ports"
START = "net.ipv4.ip_unprivileged_port_start"
REUSE = "net.ipv4.tcp_tw_reuse"
FIN = "net.ipv4.tcp_fin_timeout"
MISSING = "net.ipv4.no_such_key"
KEYS = (RANGE, RESERVED, START, REUSE, FIN)

CONTENT = f"""# Why this is here.
{RESERVED} = 15432
  {RANGE}\t=  10240   65535

; the other comment
net/ipv4/tcp_tw_reuse=1
-{MISSING} = 5
"""
OTHER_CONTENT = f"{REUSE} = 0\n{FIN} = 30\n"

Result = dict[str, Any]
Run = Callable[..., Result]


def present(content: str = CONTENT, *, check: bool = False, **options: object) -> Result:
    return run_module(check, content=content, state="present", **options)


def absent(*, check: bool = False, **options: object) -> Result:
    return run_module(check, content=None, state="absent", **options)


def run_module(check: bool, **options: object) -> Result:
    defaults = {
        "path": str(DROPIN),
        "state_dir": str(STATE),
        "lock_timeout": 30,
        "on_conflict": "fail",
        "trial": False,
        "keys": None,
        "asked_ports": None,
    }
    return run({**defaults, **options}, check)


def get(key: str) -> str:
    return sysctl.with_blanks(sysctl.read(key) or "")


def put(key: str, value: str) -> None:
    write_sysctl(key, value)


def statuses(result: Result) -> dict[str, str]:
    return {setting["key"]: setting["status"] for setting in result["settings"]}


def files() -> dict[str, object]:
    """All that is in the two directories: links, and of files what they contain, who owns them, and which they are."""
    found: dict[str, object] = {}
    for path in [*DROPIN.parent.rglob("*"), *STATE.parent.rglob("*")]:
        status = path.lstat()
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (what, status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns)
    return found


def everything() -> object:
    return files(), {key: get(key) for key in KEYS}


def contents() -> object:
    """As everything(), but a file that was written anew with the same bytes and owner is the same."""
    return {path: state[:4] for path, state in files().items()}, {key: get(key) for key in KEYS}


@contextlib.contextmanager
def nothing_changes() -> Iterator[None]:
    before = everything()
    yield
    assert everything() == before


def make_read_only(directory: Path | str) -> None:
    namespaces.mount(directory, directory, flags=namespaces.MS_BIND | namespaces.MS_REC)
    namespaces.mount("none", directory, flags=MS_REMOUNT | namespaces.MS_BIND | MS_RDONLY)


def break_off(action: Callable[[], object]) -> None:
    """Run an action in a process that is killed once everything is written and nothing committed."""

    def body() -> None:
        # Raises where the transaction has no such step.
        pytest.MonkeyPatch().setattr(transaction, "verify", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        action()

    assert in_child(body)[0] == -signal.SIGKILL

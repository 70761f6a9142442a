# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes long to build, kept from run to run in the home of Ansible, by a hash of what it is built from."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ansible import constants as C  # noqa: N812 - its usual name

MARK = ".built"


def keep(name: str, sources: Iterable[Path], build: Callable[[], bytes]) -> bytes:
    """What build() gives. Of each name the last is kept, where the home of Ansible can be written."""
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    directory = Path(C.ANSIBLE_HOME, "netops.ephemeral_ports")
    path = directory / f"{name}-{digest.hexdigest()}{MARK}"
    with suppress(OSError):
        return _read(path)
    built = build()
    with suppress(OSError):
        _write(directory, name, path, built)
    return built


def _read(path: Path) -> bytes:
    """Raises OSError for a file that others could have written: it runs on hosts, as root."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        others = stat.S_IWGRP | stat.S_IWOTH
        if found.st_uid != os.geteuid() or found.st_nlink != 1 or found.st_mode & others:
            raise PermissionError(f"{path} is not ours alone")
        return file.read()


def _write(directory: Path, name: str, path: Path, built: bytes) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:  # for its owner alone
        file.write(built)
    before = [*directory.glob(f"{name}-*{MARK}")]
    Path(file.name).replace(path)
    for one in before:
        if one != path:
            one.unlink(missing_ok=True)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctl files of a host, in the order in which they are read."""

import os
import stat
from typing import Dict, List, Mapping, Optional, Sequence, Set

from .lines import SysctlFile

# Of files with the same name, the one in the earlier directory is read alone.
DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
# What a reboot empties, everywhere.
_VOLATILE = ("/run", "/dev/shm")
_LAST_OF_PROCPS = "/etc/sysctl.conf"

Changes = Mapping[str, Optional[str]]


def read_files(directories: Sequence[str], as_systemd: bool, root: str, changes: Changes) -> List[SysctlFile]:
    """Read the files of these directories in order; the paths in the result are without the root.

    as_systemd: without hidden files and /etc/sysctl.conf. changes: files to imagine, real path to text, or to None
    where there is none. A file that cannot be read is empty, as for the loaders. Links are followed from "/".
    """
    found: Dict[str, str] = {}
    for directory in directories:
        for name in _names(below(root, directory), changes):
            if name.endswith(".conf") and not (as_systemd and name.startswith(".")):
                found.setdefault(name, os.path.join(directory, name))
    paths = [found[name] for name in sorted(found, key=os.fsencode)]
    paths += [] if as_systemd else [_LAST_OF_PROCPS]
    return [SysctlFile(path, read_text(below(root, path), changes)) for path in paths]


def emptied_above(path: str) -> Optional[str]:
    """Which directory above it a reboot empties, None for none. path: a real one."""
    return next((above for above in _VOLATILE if path.startswith(f"{above}/")), None)


def read_every_file(root: str = "/", changes: Optional[Changes] = None) -> List[SysctlFile]:
    """Read every file that some loader reads: procps reads hidden files and /etc/sysctl.conf too."""
    return read_files(DIRECTORIES, False, root, changes or {})


def read_text(path: str, changes: Optional[Changes] = None) -> str:
    """The text of one file, empty where there is none; changes as for read_files()."""
    if changes:
        real = os.path.realpath(path)
        if real in changes:
            return changes[real] or ""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _names(directory: str, changes: Changes) -> Set[str]:
    try:
        names = set(os.listdir(directory))
    except OSError:
        return set()
    real = os.path.realpath(directory)
    for path, text in changes.items():
        if os.path.dirname(path) == real:
            (names.discard if text is None else names.add)(os.path.basename(path))
    return names


def exists(root: str, path: str) -> bool:
    return os.path.isfile(below(root, path))


def below(root: str, path: str) -> str:
    """The path as seen from outside of the root."""
    return os.path.join(root, path.lstrip("/"))

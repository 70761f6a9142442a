# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of this host that apply sysctl files, and which files each of them reads."""

import os
import re
import subprocess
from typing import List, Optional, Sequence

from . import files
from .dialects import PROCPS, SYSTEMD, Loader
from .files import Changes
from .lines import SysctlFile

_PROGRAMS = (
    (SYSTEMD, ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"), re.compile(r"systemd (\d+)")),
    (PROCPS, ("/usr/sbin/sysctl", "/sbin/sysctl"), re.compile(r"procps\D*(\d+(?:\.\d+)+)")),
)
_TIMEOUT_S = 10


def find_loaders() -> List[Loader]:
    """The loaders that are installed; the first one works at boot. A sysctl that is not of procps counts for none."""
    found = (_find(name, paths, pattern) for name, paths, pattern in _PROGRAMS)
    return [loader for loader in found if loader is not None]


def read_files(loader: Loader, root: str = "/", changes: Optional[Changes] = None) -> List[SysctlFile]:
    """Every file that the loader would read, in its order. changes as for files.read_files()."""
    directories: Sequence[str] = files.DIRECTORIES
    if loader.name == PROCPS and loader.version < (3, 3, 17):
        etc, run, *others = directories
        directories = (run, etc, *others)
    return files.read_files(directories, loader.name == SYSTEMD, root, changes or {})


def _find(name: str, paths: Sequence[str], pattern: "re.Pattern[str]") -> Optional[Loader]:
    path = next(filter(os.path.exists, paths), None)
    match = pattern.search(_version_of(path)) if path else None
    return Loader(name, tuple(map(int, match.group(1).split(".")))) if match else None


def _version_of(path: str) -> str:
    try:
        # Not run_command of the module: that has no time limit.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""

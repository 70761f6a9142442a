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

# Where each of them is, and its version as it says it, and as it stands in the program itself.
_PROGRAMS = (
    (
        SYSTEMD,
        ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"),
        re.compile(rb"systemd (\d+)"),
        re.compile(rb"libsystemd-shared-(\d+)"),
    ),
    (
        PROCPS,
        ("/usr/sbin/sysctl", "/sbin/sysctl"),
        re.compile(rb"procps\D*(\d+(?:\.\d+)+)"),
        re.compile(rb"procps-ng (\d+(?:\.\d+)+)\0"),
    ),
)
_ELF = b"\x7fELF"
_LARGEST = 1 << 18
_TIMEOUT_S = 10


def find_loaders() -> List[Loader]:
    """The loaders that are installed; the first one works at boot. A sysctl that is not of procps counts for none."""
    found = (_find(*program) for program in _PROGRAMS)
    return [loader for loader in found if loader is not None]


def read_files(loader: Loader, root: str = "/", changes: Optional[Changes] = None) -> List[SysctlFile]:
    """Every file that the loader would read, in its order. changes as for files.read_files()."""
    directories: Sequence[str] = files.DIRECTORIES
    if loader.name == PROCPS and loader.version < (3, 3, 17):
        etc, run, *others = directories
        directories = (run, etc, *others)
    return files.read_files(directories, loader.name == SYSTEMD, root, changes or {})


def _find(name: str, paths: Sequence[str], said: "re.Pattern[bytes]", inside: "re.Pattern[bytes]") -> Optional[Loader]:
    path = next(filter(os.path.exists, paths), None)
    match = path and (inside.search(_read(path)) or said.search(_ask(path)))
    return Loader(name, tuple(map(int, match.group(1).split(b".")))) if match else None


def _read(path: str) -> bytes:
    """The program, which takes a hundredth of the time in which it starts; empty where it is none, or a large one."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
    except OSError:
        return b""
    return content if content.startswith(_ELF) else b""


def _ask(path: str) -> bytes:
    try:
        # Not run_command of the module: that has no time limit.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return b""

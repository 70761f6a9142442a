# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that load sysctl files, and what each of them reads in a file, in its own dialect. Pure."""

import re
from typing import List, NamedTuple, Sequence, Tuple

from .lines import Entry, Parsed, SysctlFile, parse_procps, simplify, to_path

SYSTEMD = "systemd-sysctl"
PROCPS = "sysctl --system"

# What separates lines, and what may stand around a word: each loader has its own idea.
_SYSTEMD_LINE_END = re.compile(r"(?:\r\n?|\n\r?)\0?|\0")
_SYSTEMD_BLANKS = " \t"
_OLD_PROCPS_BLANKS = " \t\n\r"


class Loader(NamedTuple):
    """A program that applies sysctl files. name: SYSTEMD or PROCPS; version: such as (252,) or (4, 0, 2)."""

    name: str
    version: Tuple[int, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def has_globs(self) -> bool:
        """Whether it expands patterns, and takes "-key" as an exception from them."""
        return self.version >= ((245,) if self.name == SYSTEMD else (4,))

    @property
    def has_optional(self) -> bool:
        """Whether "-key = value" sets the key."""
        return self.name == PROCPS or self.version >= (243,)

    @property
    def writes_on(self) -> bool:
        """Whether it goes on writing where the kernel takes only the first page of a value."""
        return self.name == SYSTEMD and self.version >= (252,)


def parse_files(loader: Loader, files: Sequence[SysctlFile]) -> List[Entry]:
    """The lines that mean something to the loader, as they stand."""
    return [
        Entry(path, value, optional, file.path, number)
        for file in files
        for number, path, value, optional in _parse(loader, file.text)
    ]


def _parse(loader: Loader, text: str) -> Parsed:
    if loader.name == SYSTEMD:
        return _parse_systemd(loader, text)
    return parse_procps(text) if loader.has_globs else _parse_old_procps(text)


def _parse_systemd(loader: Loader, text: str) -> Parsed:
    for number, line in enumerate(_SYSTEMD_LINE_END.split(text), 1):
        name, equals, value = line.strip(_SYSTEMD_BLANKS).partition("=")
        if name.startswith(("#", ";")):
            continue
        dash = name.startswith("-") and loader.has_optional
        if equals:
            yield number, _systemd_path(name[1:] if dash else name), value.strip(_SYSTEMD_BLANKS), dash
        elif dash and loader.has_globs:
            yield number, _systemd_path(name[1:]), None, False


def _systemd_path(name: str) -> str:
    return simplify(to_path(name.strip(_SYSTEMD_BLANKS))).rstrip("/")


def _parse_old_procps(text: str) -> Parsed:
    """Before 4.0.0: no patterns, no exceptions, and a line without a value is skipped rather than clearing the key."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.partition("\0")[0].rstrip(_OLD_PROCPS_BLANKS).lstrip(" \t")
        if stripped.startswith(("#", ";")):
            continue
        name, _equals, value = stripped.lstrip("=").partition("=")
        value = value.lstrip("\r").partition("\r")[0].lstrip(" \t")
        name = name.rstrip(_OLD_PROCPS_BLANKS)
        dash = name.startswith("-")
        if value:
            yield number, to_path(name[1:] if dash else name), value, dash

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs that load sysctl files find in them, each in its own dialect. Pure."""

import re
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._kernel import sysctl

SYSTEMD = "systemd-sysctl"
PROCPS = "sysctl --system"

# What separates lines, and what may stand around a word: each loader has its own idea.
_SYSTEMD_LINE_END = re.compile(r"(?:\r\n?|\n\r?)\0?|\0")
_SYSTEMD_BLANKS = " \t"
_PROCPS_BLANKS = " \t\n\v\f\r"
_OLD_PROCPS_BLANKS = " \t\n\r"

_SWAP = str.maketrans("./", "/.")


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


class SysctlFile(NamedTuple):
    """A file as a loader sees it; text holds undecodable bytes as surrogates."""

    path: str
    text: str


class Entry(NamedTuple):
    """One line. path: below /proc/sys, as written; value: None for an exception from patterns."""

    path: str
    value: Optional[str]
    optional: bool
    file: str
    line: int


# What the parsers yield: line, path, value, optional.
_Parsed = Iterator[Tuple[int, str, Optional[str], bool]]


def parse_files(loader: Loader, files: Sequence[SysctlFile]) -> List[Entry]:
    """The lines that mean something to the loader, as they stand."""
    parse = _parser(loader)
    return [
        Entry(path, value, optional, file.path, number)
        for file in files
        for number, path, value, optional in parse(loader, file.text)
    ]


def assignments(files: Sequence[SysctlFile], key: str) -> List[Entry]:
    """The lines that give a value to a key by its name, whichever of them wins, to whichever loader."""
    path = key.translate(_SWAP)
    entries = parse_files(Loader(PROCPS, (4,)), files)
    return [one for one in entries if one.value is not None and simplify(one.path) == path]


def _parser(loader: Loader) -> Callable[[Loader, str], _Parsed]:
    if loader.name == SYSTEMD:
        return _parse_systemd
    return _parse_procps if loader.has_globs else _parse_old_procps


def _to_path(name: str) -> str:
    """The name as a path below /proc/sys; the first separator says which of the two spellings it has."""
    return sysctl.canonical(name).translate(_SWAP)


def simplify(path: str) -> str:
    """The path without what does not change its meaning. At the end a slash does: a key is no directory."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(parts) + ("/" if path.endswith(("/", "/.")) else "")


def _parse_systemd(loader: Loader, text: str) -> _Parsed:
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
    return simplify(_to_path(name.strip(_SYSTEMD_BLANKS))).rstrip("/")


def _parse_procps(_loader: Loader, text: str) -> _Parsed:
    """4.0.0 and newer. A blank after the dash belongs to the name, and so no such key exists."""
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("\0")[0].lstrip(_PROCPS_BLANKS).partition("=")
        if name.startswith(("#", ";")):
            continue
        dash = name.startswith("-")
        name = (name[1:] if dash else name).rstrip(_PROCPS_BLANKS)
        path = _to_path(name[1:] if name.startswith("-") else name)  # it drops a second dash as well
        if equals:
            yield number, path, value.strip(_PROCPS_BLANKS), dash
        elif dash:
            yield number, path, None, False


def _parse_old_procps(_loader: Loader, text: str) -> _Parsed:
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
            yield number, _to_path(name[1:] if dash else name), value, dash

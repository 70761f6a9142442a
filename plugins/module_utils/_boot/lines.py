# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of sysctl files, in the dialect of procps: it takes all that the others take. Pure."""

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._kernel import sysctl

_PROCPS_BLANKS = " \t\n\v\f\r"


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


# What a parser yields: line, path, value, optional.
Parsed = Iterator[Tuple[int, str, Optional[str], bool]]


def assignments(files: Sequence[SysctlFile], key: str) -> List[Entry]:
    """The lines that give a value to a key by its name, whichever of them wins, to whichever loader."""
    path = sysctl.swapped(key)
    return [
        Entry(written, value, optional, file.path, number)
        for file in files
        for number, written, value, optional in parse_procps(file.text)
        if value is not None and simplify(written) == path
    ]


def to_path(name: str) -> str:
    """The name as a path below /proc/sys; the first separator says which of the two spellings it has."""
    return sysctl.swapped(sysctl.canonical(name))


def simplify(path: str) -> str:
    """The path without what does not change its meaning. At the end a slash does: a key is no directory."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(parts) + ("/" if path.endswith(("/", "/.")) else "")


def parse_procps(text: str) -> Parsed:
    """As procps reads it since 4.0.0. A blank after the dash belongs to the name, and so no such key exists."""
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("\0")[0].lstrip(_PROCPS_BLANKS).partition("=")
        if name.startswith(("#", ";")):
            continue
        dash = name.startswith("-")
        name = (name[1:] if dash else name).rstrip(_PROCPS_BLANKS)
        path = to_path(name[1:] if name.startswith("-") else name)  # it drops a second dash as well
        if equals:
            yield number, path, value.strip(_PROCPS_BLANKS), dash
        elif dash:
            yield number, path, None, False

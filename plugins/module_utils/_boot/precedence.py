# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which value a sysctl will have after a reboot, by the rules of the program that loads the files.

Pure: _boot_files reads the files in the loader's order.
"""

import fnmatch
import re
from collections import OrderedDict
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._kernel import keys, sysctl

SYSTEMD = "systemd-sysctl"
PROCPS = "sysctl --system"

# What separates lines, and what may stand around a word: each loader has its own idea.
_SYSTEMD_LINE_END = re.compile(r"(?:\r\n?|\n\r?)\0?|\0")
_SYSTEMD_BLANKS = " \t"
_PROCPS_BLANKS = " \t\n\v\f\r"
_OLD_PROCPS_BLANKS = " \t\n\r"

_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
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


class BootValue(NamedTuple):
    """What a key will be, and the line that decides.

    value: None where nothing sets it, and it stays at the kernel's default. Then file and line are those of the "-key"
    that keeps patterns off it, if there is one.
    """

    value: Optional[str]
    file: Optional[str]
    line: Optional[int]


class StaleLine(NamedTuple):
    """A line for a key that the kernel lacks (or has not yet, when a module brings it). optional: it may be missing."""

    file: str
    line: int
    key: str
    optional: bool


class _Entry(NamedTuple):
    """One line. path: below /proc/sys, as written; value: None for an exception from patterns."""

    path: str
    value: Optional[str]
    optional: bool
    file: str
    line: int


# What the parsers yield: line, path, value, optional.
_Parsed = Iterator[Tuple[int, str, Optional[str], bool]]

UNSET = BootValue(None, None, None)


def boot_values(
    loader: Loader,
    files: Sequence[SysctlFile],
    keys: Iterable[str],
    accepts: Callable[[str, str], bool] = lambda _key, _value: True,
    page_size: int = 4096,
) -> Dict[str, BootValue]:
    """What each of the canonical keys will be. The keys are assumed to exist; files are in the loader's order.

    accepts(key, value) says whether the kernel takes a value; without it, each is taken as it is written. page_size is
    the host's, in bytes.
    """
    entries = _entries(loader, files)
    results = {}
    for key in keys:
        path = key.translate(_SWAP)
        applied = [entry for entry in _applied(loader, entries, path) if accepts(key, entry.value or "")]
        excepted = [entry for entry in entries if entry.value is None and entry.path == path]
        results[key] = UNSET
        for last in (applied or excepted)[-1:]:
            value = last.value and _as_taken(loader, key, last.value, page_size)
            results[key] = BootValue(value, last.file, last.line)
    return results


def assigned_values(loader: Loader, files: Sequence[SysctlFile], key: str) -> List[str]:
    """Every value that a line gives to a key by its name, whichever of them wins."""
    entries = _entries(loader, files)
    return [one.value for one in entries if one.value is not None and _simplify(one.path).translate(_SWAP) == key]


def stale_lines(loader: Loader, files: Sequence[SysctlFile], exists: Callable[[str], bool]) -> List[StaleLine]:
    """Lines that name, not by a pattern, a key of which exists(canonical key) is false."""
    named = [
        (entry, _simplify(entry.path).translate(_SWAP))
        for entry in _entries(loader, files)
        if entry.value is not None and not _GLOB.search(entry.path)
    ]
    return [StaleLine(entry.file, entry.line, key, entry.optional) for entry, key in named if not exists(key)]


def _entries(loader: Loader, files: Sequence[SysctlFile]) -> List[_Entry]:
    """What the loader makes of the files, in the order in which it acts on it."""
    parse = _parser(loader)
    entries = [
        _Entry(path, value, optional, file.path, number)
        for file in files
        for number, path, value, optional in parse(loader, file.text)
    ]
    return _last_of_each(entries) if loader.name == SYSTEMD else entries


def _parser(loader: Loader) -> Callable[[Loader, str], _Parsed]:
    if loader.name == SYSTEMD:
        return _parse_systemd
    return _parse_procps if loader.has_globs else _parse_old_procps


def _last_of_each(entries: Iterable[_Entry]) -> List[_Entry]:
    """systemd keeps one entry per name. A new value moves to the end; a repeated one stays in its place."""
    table: Dict[str, _Entry] = OrderedDict()
    for entry in entries:
        if entry.path in table and table[entry.path].value != entry.value:
            del table[entry.path]
        table[entry.path] = entry
    return list(table.values())


def _applied(loader: Loader, entries: Sequence[_Entry], path: str) -> List[_Entry]:
    """The entries that the loader writes to a key, one after the other."""
    excepted = any(entry.path == path for entry in entries)

    def applies(entry: _Entry) -> bool:
        if loader.has_globs and _GLOB.search(entry.path):
            return not excepted and _matches(loader, entry.path, path)
        return _simplify(entry.path) == path

    return [entry for entry in entries if entry.value is not None and applies(entry)]


def _as_taken(loader: Loader, key: str, value: str, page_size: int) -> str:
    """What a single write sets: the kernel takes less than a page of it, and no entry whose end it cannot see.

    It goes on looking after a single port, for a dash, so it wants to see one character more than the comma.
    """
    seen = page_size - 1
    if key != keys.RESERVED_PORTS or len(value) < seen or loader.writes_on:
        return value
    whole, _comma, rest = value[:seen].rpartition(",")
    before, _comma, last = whole.rpartition(",")
    return whole if rest or "-" in last else before


def _matches(loader: Loader, pattern: str, path: str) -> bool:
    """Whether glob(3) finds the path. Only systemd asks it to expand braces."""
    names = path.split("/")
    for alternative in _expand_braces(pattern) if loader.name == SYSTEMD else [pattern]:
        parts = _simplify(alternative).replace("[^", "[!").split("/")
        if len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts)):
            return True
    return False


def _expand_braces(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for choice in found.group(1).split(","):
        yield from _expand_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def _to_path(name: str) -> str:
    """The name as a path below /proc/sys; the first separator says which of the two spellings it has."""
    return sysctl.canonical(name).translate(_SWAP)


def _simplify(path: str) -> str:
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
    return _simplify(_to_path(name.strip(_SYSTEMD_BLANKS))).rstrip("/")


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

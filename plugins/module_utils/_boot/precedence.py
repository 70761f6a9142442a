# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which value a sysctl will have after a reboot, by the rules of the program that loads the files. Pure."""

import fnmatch
import re
from collections import OrderedDict
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from .._kernel.keys import RESERVED_PORTS
from .dialects import SYSTEMD, Loader, parse_files
from .lines import Entry, SysctlFile, simplify

_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_SWAP = str.maketrans("./", "/.")


class BootValue(NamedTuple):
    """What a key will be, and the line that decides.

    value: None where nothing sets it, and it stays at the kernel's default. Then file and line are those of the "-key"
    that keeps patterns off it, if there is one.
    """

    value: Optional[str]
    file: Optional[str]
    line: Optional[int]


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


def _entries(loader: Loader, files: Sequence[SysctlFile]) -> List[Entry]:
    """What the loader makes of the files, in the order in which it acts on it."""
    entries = parse_files(loader, files)
    return _last_of_each(entries) if loader.name == SYSTEMD else entries


def _last_of_each(entries: Iterable[Entry]) -> List[Entry]:
    """systemd keeps one entry per name. A new value moves to the end; a repeated one stays in its place."""
    table: Dict[str, Entry] = OrderedDict()
    for entry in entries:
        if entry.path in table and table[entry.path].value != entry.value:
            del table[entry.path]
        table[entry.path] = entry
    return list(table.values())


def _applied(loader: Loader, entries: Sequence[Entry], path: str) -> List[Entry]:
    """The entries that the loader writes to a key, one after the other."""
    excepted = any(entry.path == path for entry in entries)

    def applies(entry: Entry) -> bool:
        if loader.has_globs and _GLOB.search(entry.path):
            return not excepted and _matches(loader, entry.path, path)
        return simplify(entry.path) == path

    return [entry for entry in entries if entry.value is not None and applies(entry)]


def _as_taken(loader: Loader, key: str, value: str, page_size: int) -> str:
    """What a single write sets: the kernel takes less than a page of it, and no entry whose end it cannot see.

    It goes on looking after a single port, for a dash, so it wants to see one character more than the comma.
    """
    seen = page_size - 1
    if key != RESERVED_PORTS or len(value) < seen or loader.writes_on:
        return value
    whole, _comma, rest = value[:seen].rpartition(",")
    before, _comma, last = whole.rpartition(",")
    return whole if rest or "-" in last else before


def _matches(loader: Loader, pattern: str, path: str) -> bool:
    """Whether glob(3) finds the path. Only systemd asks it to expand braces."""
    names = path.split("/")
    for alternative in _expand_braces(pattern) if loader.name == SYSTEMD else [pattern]:
        parts = simplify(alternative).replace("[^", "[!").split("/")
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

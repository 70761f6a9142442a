# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which value a sysctl will have after a reboot, by the rules of the programs that set it, one by one. Pure."""

import fnmatch
import re
from collections import OrderedDict
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel.features import Version
from .._kernel.keys import RESERVED_PORTS
from .._kernel.sysctl import swapped
from .._kernel.sysctl_value import LONG_LISTS, RefusedError, first_write, value_after
from .dialects import SYSTEMD, Loader, parse_files
from .lines import Entry, SysctlFile, simplify

_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")


class BootValue(NamedTuple):
    """What a key will be, and the line that decides.

    value: as the kernel prints it, with single blanks; None where nothing sets it, so that it stays at the kernel's
    default. Then file and line are those of a line that the kernel refuses, or of the "-key" that keeps patterns off
    it, if there is one. writer: the stage that sets it. refused: what the line says and the kernel refuses; why:
    because of what.
    """

    value: Optional[str]
    file: Optional[str]
    line: Optional[int]
    writer: Optional[str] = None
    refused: Optional[str] = None
    why: Optional[str] = None


UNSET = BootValue(None, None, None)


class Write(NamedTuple):
    """A value that is written to a key, and the line that says so."""

    key: str
    value: str
    file: str
    line: int


class Stage(NamedTuple):
    """A program that sets sysctls during the boot: a loader, or a late writer.

    writes: in its order. exceptions: key to the line "-key". writes_on: it goes on writing where the kernel takes only
    the first page of a value. unknown: where it sets a key to what is not known before, such as a variable; any write
    of the same stage comes later.
    """

    name: str
    writes: List[Write]
    exceptions: Mapping[str, Entry]
    writes_on: bool
    unknown: Sequence[Write] = ()


def loader_stage(loader: Loader, files: Sequence[SysctlFile], keys: Iterable[str], name: Optional[str] = None) -> Stage:
    """What a loader does with these files, in its order. The canonical keys are assumed to exist."""
    entries = parse_files(loader, files)
    entries = _last_of_each(entries) if loader.name == SYSTEMD else entries
    paths = {swapped(key): key for key in sorted(keys)}
    named = {entry.path for entry in entries}
    writes = []
    for entry in entries:
        if loader.has_globs and _GLOB.search(entry.path):
            matching = [path for path in paths if path not in named and _matches(loader, entry.path, path)]
        else:
            matching = [path for path in (simplify(entry.path),) if path in paths]
        if entry.value is not None:
            writes += [Write(paths[path], entry.value, entry.file, entry.line) for path in matching]
    exceptions = {paths[entry.path]: entry for entry in entries if entry.value is None and entry.path in paths}
    return Stage(name or loader.name, writes, exceptions, loader.writes_on)


def plain_stage(name: str, entries: Iterable[Entry], keys: Iterable[str]) -> Stage:
    """What a program does that knows neither patterns nor exceptions."""
    paths = {swapped(key): key for key in keys}
    found = [(paths.get(simplify(path)), value, file, line) for path, value, _optional, file, line in entries]
    writes = [Write(key, value, file, line) for key, value, file, line in found if key and value is not None]
    unknown = [Write(key, "", file, line) for key, value, file, line in found if key and value is None]
    return Stage(name, writes, {}, True, unknown)


def still_unknown(stages: Iterable[Stage]) -> Dict[str, Tuple[str, Write]]:
    """Who sets a key to what is not known, where nobody sets it later."""
    found: Dict[str, Tuple[str, Write]] = {}
    for stage in stages:
        found.update({write.key: (stage.name, write) for write in stage.unknown})
        for write in stage.writes:
            found.pop(write.key, None)
    return found


def boot_values(
    stages: Iterable[Stage], start: Mapping[str, Optional[str]], version: Version, page_size: int = 4096
) -> Dict[str, BootValue]:
    """What each key will be after these stages, one after the other.

    start: each key, with its value before them, None where that is unknown. version, page_size: those of the kernel.
    """
    values = dict(start)
    results = dict.fromkeys(start, UNSET)
    for stage in stages:
        for key, text, file, line in stage.writes:
            if key == RESERVED_PORTS and not (stage.writes_on and version >= LONG_LISTS):
                text = first_write(text, version, page_size)
            try:
                values[key] = value_after(key, text, values, version)
            except RefusedError as error:
                if results[key].value is None:
                    results[key] = BootValue(None, file, line, stage.name, text, str(error))
            else:
                results[key] = BootValue(values[key], file, line, stage.name)
        for key, entry in stage.exceptions.items():
            if results[key] == UNSET:
                results[key] = BootValue(None, entry.file, entry.line, stage.name)
    return results


def _last_of_each(entries: Iterable[Entry]) -> List[Entry]:
    """systemd keeps one entry per name. A new value moves to the end; a repeated one stays in its place."""
    table: Dict[str, Entry] = OrderedDict()
    for entry in entries:
        if entry.path in table and table[entry.path].value != entry.value:
            del table[entry.path]
        table[entry.path] = entry
    return list(table.values())


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

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tuned sets at boot: the section [sysctl] of its profile, and then, unless told not to, sysctl files once more.

By the code of tuned 2.15 to 2.25 (plugins/plugin_sysctl.py, profiles/loader.py, profiles/merger.py).
"""

import glob
import os
import re
from collections import OrderedDict
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._kernel import sysctl
from . import files
from .files import Changes
from .lines import Entry
from .units import is_started

_MAIN = "/etc/tuned/tuned-main.conf"
_ACTIVE = "/etc/tuned/active_profile"
_PROFILES = ("/etc/tuned/profiles", "/usr/lib/tuned/profiles", "/etc/tuned", "/usr/lib/tuned")
_PLUGIN = "usr/lib/python3*/*-packages/tuned/plugins/plugin_sysctl.py"
# The first one wins over the other. /etc/sysctl.conf comes last.
_DIRECTORIES = ("/run/sysctl.d", "/etc/sysctl.d")
_TRUE = ("1", "Y", "YES", "T", "TRUE")
_COMMENT = re.compile(r"(?:^|\s)#.*|^\s*;.*")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ON = ("True", "true", "1")
_SETTINGS = ("type", "enabled", "replace", "devices", "priority", "include")  # none of them is a sysctl


class Tuned(NamedTuple):
    """entries: what it sets, in its order. unknown: what of this is not known before, such as variables.

    is_whole: all files of the profile were found.
    """

    profile: str
    reapply_sysctl: bool
    entries: List[Entry]
    unknown: List[Entry]
    is_whole: bool


def find_tuned(root: str = "/", changes: Optional[Changes] = None) -> Optional[Tuned]:
    """None where no profile is active, or no boot starts it. changes as for files.read_files()."""
    profile = " ".join(_read(root, _ACTIVE).split())
    if not profile or not is_started(root, "tuned"):
        return None
    main = {key: value for _section, key, value, _line in _parse(_read(root, _MAIN))}
    reapply = main.get("reapply_sysctl", "1").upper() in _TRUE
    units = _Units(root)
    is_whole = units.load_all(profile.split())
    # Without a section [sysctl] it applies no files either. A profile that is not found may have one.
    again = _applied_again(root, changes or {}) if reapply and (units.enabled() or not is_whole) else []
    own = [entry for unit in units.enabled() for entry in unit.values()]
    known = [entry for entry in own if entry.value is not None]
    return Tuned(profile, reapply, known + again, [entry for entry in own if entry.value is None], is_whole)


def _applied_again(root: str, changes: Changes) -> List[Entry]:
    swaps = _swaps_separators(root)
    entries: List[Entry] = []
    for file in files.read_files(_DIRECTORIES, False, root, changes):
        if _NOT_UTF8.search(file.text):
            break  # it gives up there
        for number, line in enumerate(re.split("\r\n|\r|\n", file.text), 1):
            name, equals, value = line.strip().partition("=")
            if "\0" in name and equals and not name.startswith(("#", ";")):
                return entries
            # It writes no line end, so an empty value does nothing.
            if equals and value.strip() and not name.startswith(("#", ";")):
                entries.append(Entry(_path(name.strip(), swaps), value.strip(), False, file.path, number))
    return entries


class _Units:
    """The sections of the type sysctl that profiles have, later ones over earlier ones."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._swaps = _swaps_separators(root)
        self._seen: List[str] = []
        self._units: Dict[str, Dict[str, Entry]] = OrderedDict()
        self._disabled: Dict[str, bool] = {}

    def enabled(self) -> List[Dict[str, Entry]]:
        return [unit for name, unit in self._units.items() if not self._disabled[name]]

    def load_all(self, names: Sequence[str]) -> bool:
        """Whether all files were found."""
        return False not in [self._load(name) for name in names]

    def _load(self, name: str) -> bool:
        candidates = [f"{directory}/{os.path.basename(name.lstrip('-'))}/tuned.conf" for directory in _PROFILES]
        path = next((one for one in candidates if one not in self._seen and files.exists(self._root, one)), None)
        if path is None:
            return name.startswith("-") or any(one in self._seen for one in candidates)
        self._seen.append(path)
        lines = _parse(_read(self._root, path))
        settings = {(section, key): value for section, key, value, _line in lines if key in _SETTINGS}
        include = settings.get(("main", "include"), "")
        is_whole = self.load_all(re.split(r"\s*[,;]\s*", include) if include else [])
        for section in OrderedDict.fromkeys(section for section, _key, _value, _line in lines):
            if settings.get((section, "type"), section) == "sysctl":
                if section not in self._units or settings.get((section, "replace")) in _ON:
                    self._units[section] = OrderedDict()
                self._disabled[section] = settings.get((section, "enabled"), "1") not in _ON
        for section, key, value, number in lines:
            if section in self._units and key and key not in _SETTINGS:
                known = None if "${" in value or value.startswith((">", "<")) else value.strip("\"'")
                self._units[section][key] = Entry(_path(key, self._swaps), known, False, path, number)
        return is_whole


def _parse(text: str) -> List[Tuple[str, str, str, int]]:
    """Section, key, value and number of each line; key and value of a section's own line are empty."""
    section = ""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        line = _COMMENT.sub("", line).strip()
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            found.append((section, "", "", number))
        elif equals:
            found.append((section, key.strip(), value.strip(), number))
    return found


def _swaps_separators(root: str) -> bool:
    """Newer ones take a slash for a dot within a name, as sysctl does after a dot; for older ones it is a slash."""
    paths = glob.glob(os.path.join(root, _PLUGIN))
    return any('tr(option, "./"' in files.read_text(path) for path in paths)


def _path(name: str, swaps: bool) -> str:
    return sysctl.swapped(name) if swaps else name.replace(".", "/")


def _read(root: str, path: str) -> str:
    return files.read_text(files.below(root, path))

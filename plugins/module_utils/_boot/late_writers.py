# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sets sysctls once more, after the loader of the boot: ufw, ifup, NetworkManager, cloud-init, tuned, rc.local."""

import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from . import files, loaders, scripts
from .dialects import PROCPS, Loader
from .files import Changes
from .lines import SysctlFile
from .precedence import Stage, loader_stage, plain_stage
from .tuned import Tuned, find_tuned
from .units import is_started

_UFW_SWITCH = "/etc/ufw/ufw.conf"
_UFW_DEFAULTS = "/etc/default/ufw"

_ASSIGNMENT = re.compile(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
# Patterns apart, which came later, all versions read a file alike.
_SOME_PROCPS = Loader(PROCPS, (3, 3, 17))


class LateWriters(NamedTuple):
    """stages: in the order of the boot. first_boot: those that act only once, when an instance is new."""

    stages: List[Stage]
    first_boot: List[Stage]
    tuned: Optional[Tuned]


def find_late_writers(
    known: Sequence[Loader], keys: Iterable[str], root: str = "/", changes: Optional[Changes] = None
) -> LateWriters:
    """What of these keys they set, on a host with these loaders. changes: as for files.read_files()."""
    reader = _Reader(next((one for one in known if one.name == PROCPS), _SOME_PROCPS), list(keys), root, changes or {})
    tuned = find_tuned(root, changes)
    ufw_file = find_ufw(root)
    stages = [reader.load("ufw", [ufw_file])] if ufw_file else []
    stages += reader.calls(scripts.EACH_BOOT)
    stages += [plain_stage("tuned", tuned.unknown + tuned.entries, keys)] if tuned else []
    stages += reader.calls(scripts.LATE)
    return LateWriters(stages, list(reader.calls(scripts.FIRST_BOOT)), tuned)


def find_ufw(root: str = "/") -> Optional[str]:
    """The file that ufw hands to sysctl -p at boot; None where it does not, also as its service is disabled."""
    switch = _assignments(files.read_text(files.below(root, _UFW_SWITCH))).get("ENABLED", "no")
    sysctl_file = _assignments(files.read_text(files.below(root, _UFW_DEFAULTS))).get("IPT_SYSCTL", "")
    return sysctl_file or None if switch.lower() == "yes" and is_started(root, "ufw") else None


class _Reader(NamedTuple):
    procps: Loader
    keys: List[str]
    root: str
    changes: Changes

    def load(self, name: str, paths: Iterable[str]) -> Stage:
        """What sysctl -p makes of these files."""
        texts = [SysctlFile(path, files.read_text(files.below(self.root, path), self.changes)) for path in paths]
        return loader_stage(self.procps, texts, self.keys, name)

    def calls(self, sources: Iterable[scripts.Source]) -> Iterator[Stage]:
        for name, call in scripts.find_calls(self.root, sources):
            if call.loads_all:
                every = loaders.read_files(self.procps, self.root, self.changes)
                yield loader_stage(self.procps, every, self.keys, name)
            yield self.load(name, call.loads) if call.loads else plain_stage(name, call.entries, self.keys)


def _assignments(text: str) -> Dict[str, str]:
    return {name: value.strip("\"'") for name, value in _ASSIGNMENT.findall(text)}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report out of many: of each host what was observed last; what is missing, and what two reports tell. No clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._model import Clash, Merged, MergedFile
from .._text.wording import natural
from .earlier import UnreadableError, host_of, read
from .host import Host


@dataclass
class Merging:
    """Takes in one file after the other. newest: when, and in which file, a host was observed last."""

    hosts: dict[str, Host] = field(default_factory=dict)
    newest: dict[str, tuple[str, str]] = field(default_factory=dict)
    clashes: dict[str, list[str]] = field(default_factory=dict)
    files: list[MergedFile] = field(default_factory=list)

    def take(self, path: Path) -> None:
        """Of a file that ends too early, what was read counts, and the file is named."""
        told: MergedFile = {"path": str(path), "hosts": 0, "ended": None, "error": None}
        self.files.append(told)
        try:
            for one in read(path):
                told["hosts"] += 1
                told["ended"] = one.ended
                self._take(one.host["name"], one.ended, one.source, host_of(one.host))
        except UnreadableError as error:
            told["error"] = str(error)
        else:
            if not told["hosts"]:
                told["error"] = "it has no hosts"

    def take_run(self, hosts: Iterable[Host], ended: str) -> None:
        """Hosts that this run itself has observed."""
        for host in hosts:
            self._take(host.name, ended, "this run", host)

    def _take(self, name: str, ended: str, source: str, host: Host) -> None:
        before = self.newest.get(name)
        if before:
            self.clashes.setdefault(name, [before[1]]).append(source)
        if not before or ended >= before[0]:
            self.newest[name] = ended, source
            self.hosts[name] = host

    def told(self, expected: Sequence[str]) -> Merged:
        """expected: hosts of the inventory."""
        clashes: list[Clash] = [
            {"host": name, "files": files, "counts": self.newest[name][1]}
            for name, files in sorted(self.clashes.items(), key=lambda pair: natural(pair[0]))
        ]
        return {
            "files": self.files,
            "clashes": clashes,
            "missing": sorted((name for name in expected if name not in self.hosts), key=natural),
        }

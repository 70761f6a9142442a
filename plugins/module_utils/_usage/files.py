# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sysctl files of a host say of ports and of tcp_tw_recycle, whether or not it is in force."""

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._boot.files import read_every_file, read_text
from .._boot.lines import Entry, SysctlFile, assignments
from .._kernel import keys
from .._kernel.features import Version
from .._kernel.ports import PortSet, meant_ports
from .._kernel.sysctl_value import RefusedError, value_after

if TYPE_CHECKING:
    from .._dropin.applied import Applied

# So much of a line is returned as it stands.
_LINE = 200


class Files(NamedTuple):
    """reserved: ports that any line reserves, or means to where the kernel does not take it. recycle_lines: file and
    number of lines that set tcp_tw_recycle. port_lines: keys, and lines that set reserved ports or the range.
    """

    reserved: PortSet
    recycle_lines: Sequence[Tuple[str, int]]
    port_lines: Sequence[Tuple[str, Entry]] = ()


# Those of a container are in its own mount namespace, and the files of the host say nothing about it.
NO_FILES = Files(PortSet(), ())


def observe_files(applied: "Optional[Applied]" = None) -> Files:
    """applied: our drop-in, which is taken to be as it was before: what it says now, but for edits, is from us."""
    files = read_every_file(changes={applied.path: applied.origin} if applied else {})
    reserved = _reserved_in(files)
    if applied:
        now, ours = read_text(applied.path), applied.text
        reserved |= _reserved_in([SysctlFile(applied.path, now)]) - _reserved_in([SysctlFile(applied.path, ours)])
    recycle_lines = [(line.file, line.line) for line in _assignments(files, keys.TW_RECYCLE)]
    port_lines = [(key, line) for key in (keys.RESERVED_PORTS, keys.PORT_RANGE) for line in _assignments(files, key)]
    return Files(reserved, recycle_lines, port_lines)


def describe_line(key: str, line: Entry, start: Optional[str], version: Version) -> Dict[str, Any]:
    """Whether the kernel takes a line, and what it is meant to say, which for ports is known even if it does not.

    start: ip_unprivileged_port_start.
    """
    text = line.value or ""
    means: Optional[str] = None
    refused = False
    try:
        means = value_after(key, text, {keys.UNPRIVILEGED_PORT_START: start}, version)
    except RefusedError:
        refused = True
    if key == keys.RESERVED_PORTS:
        means = str(meant_ports(text))
    return {
        "key": key,
        "file": line.file,
        "line": line.line,
        "value": text[:_LINE],
        "means": means,
        "refused": refused,
    }


def _reserved_in(files: Sequence[SysctlFile]) -> PortSet:
    found = PortSet()
    for line in _assignments(files, keys.RESERVED_PORTS):
        found |= meant_ports(line.value or "")
    return found


def _assignments(files: Sequence[SysctlFile], key: str) -> List[Entry]:
    """As assignments(), without parsing files that do not have the name."""
    name = key.rpartition(".")[2]
    return assignments([file for file in files if name in file.text], key)

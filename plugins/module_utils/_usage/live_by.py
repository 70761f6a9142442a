# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has the live sockets of pools that are short of ports: containers, pods and units, and the programs in them.

The kernel tells of each socket in which cgroup it was made (Linux 5.8); root finds the process, too. A socket in
TIME_WAIT is nobody's any more: who makes those, port_users_info tells.
"""

import collections
import time
from typing import Any, Callable, Counter, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._common.errors import SockDiagError
from .._kernel import cgroups
from .._kernel.counters import PROC
from .._kernel.ports import PortSet
from .._sockets import owners, programs
from .._sockets.live import Key, Live, read_live

# So many are named of each pool.
MOST_NAMED = 5
# What an observation of all network namespaces spends on processes and cgroups at most.
_SECONDS = 1.0


class Who(NamedTuple):
    """Where sockets belong. program and pid: None where the process was not found."""

    owner: Optional[str]
    program: Optional[str]
    pid: Optional[int]


class Search:
    """What one observation knows of whose sockets are, and how long it may go on to ask."""

    def __init__(self, proc: str = PROC, seconds: float = _SECONDS) -> None:
        self._proc, self._left = proc, seconds
        self._files: Optional[owners.Files] = None
        self._of_cgroup: Dict[int, Optional[str]] = {}

    def whose(self, sockets: Sequence[Live]) -> List[Who]:
        """Of each socket. At most half of the time that is left is spent, so that others have some, too."""
        began = time.monotonic()
        deadline = began + self._left / 2
        self._find_cgroups({one.cgroup for one in sockets if one.cgroup} - set(self._of_cgroup), deadline)
        holders = programs.find_holders({one.inode for one in sockets if one.inode}, deadline, self._proc)
        of_pid = {pid: self._who(pid) for pid in set(holders.values())}
        self._left -= time.monotonic() - began
        unknown = Who(None, None, None)
        return [
            of_pid.get(holders.get(one.inode, 0), unknown._replace(owner=self._of_cgroup.get(one.cgroup or 0)))
            for one in sockets
        ]

    def _find_cgroups(self, numbers: Set[int], deadline: float) -> None:
        found = cgroups.paths(numbers, deadline) if numbers else {}
        self._of_cgroup.update({number: self._owner(f"0::{found.get(number, '/')}") for number in numbers})

    def _owner(self, text: str) -> Optional[str]:
        self._files = self._files or owners.Files()
        owner = owners.owner_of(text, self._files)
        return str(owner) if owner else None

    def _who(self, pid: int) -> Who:
        owner, program = (self._of_process(pid, name) for name in ("cgroup", "comm"))
        return Who(owner and self._owner(owner), program and program.rstrip("\n"), pid)

    def _of_process(self, pid: int, name: str) -> Optional[str]:
        try:
            return owners.read_file(f"{self._proc}/{pid}/{name}")
        except OSError:  # it has ended
            return None


def find(
    keys: Iterable[Key], clients: PortSet, search: Search, read: Callable[[Sequence[Key]], List[Live]] = read_live
) -> Dict[Key, List[Dict[str, Any]]]:
    """The part live_by of the pools with these keys; of none where the kernel does not answer.

    clients: the ports that connect() chooses from.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    try:
        sockets = [one for one in read(wanted) if one.port in clients]
    except (SockDiagError, OSError):
        return {}
    found: Dict[Key, List[Tuple[Live, Who]]] = {key: [] for key in wanted}
    for one, who in zip(sockets, search.whose(sockets)):
        found[one.key].append((one, who))
    return {key: describe(who for _one, who in pairs) for key, pairs in found.items()}


def describe(each: Iterable[Who]) -> List[Dict[str, Any]]:
    """Those that are known, the one with the most first. Processes of one program and owner are one."""
    grouped: Dict[Tuple[str, str], Counter[int]] = {}
    for who in each:
        if who.owner or who.program:
            grouped.setdefault((who.owner or "", who.program or ""), collections.Counter())[who.pid or 0] += 1
    most = sorted(grouped.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [
        {
            "owner": owner or None,
            "program": program or None,
            "pid": min(pids, key=lambda pid: (-pids[pid], pid)) or None,
            "processes": len(pids) if program else None,
            "live": sum(pids.values()),
        }
        for (owner, program), pids in most[:MOST_NAMED]
    ]

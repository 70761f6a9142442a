# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other network namespaces of a host: whose they are, and which of them are wanted."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .._common.errors import OptionError
from .._common.text import place_name
from .._kernel import namespaces
from .._kernel.counters import PROC
from .._kernel.namespaces import Namespace
from . import owners
from .owners import Owner

ALL, OWN = "all", namespaces.OWN

# Where ip-netns(8) mounts what it gives a name. CNI and engines mount there too, under names of their own making.
_NAMED = ("/run/netns", "/var/run/netns")
_NAMED_IN_ERROR = 10


class Known(NamedTuple):
    """A network namespace: the name that it is mounted under, the owner and the program of its oldest process."""

    namespace: Namespace
    name: Optional[str]
    owner: Optional[Owner]
    program: Optional[str] = None

    def is_called(self, wanted: str) -> bool:
        names = [self.name, str(self.namespace.inode)]
        if self.owner:
            names += [self.owner.name, self.owner.id, f"{self.owner.kind} {self.owner.name}"]
        return wanted in names

    def title(self) -> str:
        return place_name(self.describe(None))

    def describe(self, cookie: Optional[int]) -> Dict[str, Any]:
        """The part namespace of a usage. cookie: the kernel's, where it was entered."""
        owner = self.owner and dict(self.owner._asdict())
        return {
            "own": False,
            "inode": self.namespace.inode,
            "cookie": cookie,
            "name": self.name,
            "owner": owner,
            "pid": self.namespace.pid,
            "program": self.program,
        }

    def is_described(self, then: Mapping[str, Any], cookie: Optional[int]) -> bool:
        """Whether it is the one that describe() told of, earlier since the same boot. cookie: the one that it has."""
        if then["inode"] != self.namespace.inode:
            return False
        if cookie is not None:
            return bool(then["cookie"] == cookie)
        now = self.describe(None)
        return bool((now["name"], now["owner"]) == (then["name"], then["owner"]))


def know(proc: str = PROC, files: Optional[owners.Files] = None) -> List[Known]:
    """Every other network namespace of this host, and whose it is."""
    files = files or owners.Files()
    found = namespaces.find_others(proc)
    return [Known(one, _name(one), _owner(one, files, proc), _program(one, proc)) for one in found]


def choose(known: Sequence[Known], wanted: Sequence[str]) -> List[Known]:
    """Those that are called so. Raises OptionError where one that is wanted is none of this host's."""
    if ALL in wanted:
        return list(known)
    for name in wanted:
        if name != OWN and not any(one.is_called(name) for one in known):
            raise OptionError(f"namespaces: this host has no network namespace {name!r}; {_which(known)}")
    return [one for one in known if any(one.is_called(name) for name in wanted)]


def _name(namespace: Namespace) -> Optional[str]:
    directory, _slash, name = (namespace.mount or "").rpartition("/")
    return name if directory in _NAMED else None


def _owner(namespace: Namespace, files: owners.Files, proc: str) -> Optional[Owner]:
    text = _of_process(namespace, "cgroup", proc)
    return owners.owner_of(text, files) if text is not None else None


def _program(namespace: Namespace, proc: str) -> Optional[str]:
    text = _of_process(namespace, "comm", proc)
    return text.rstrip("\n") if text is not None else None


def _of_process(namespace: Namespace, name: str, proc: str) -> Optional[str]:
    """A file of its oldest process; None where that has ended, or there is none."""
    try:
        return None if namespace.pid is None else owners.read_file(f"{proc}/{namespace.pid}/{name}")
    except OSError:
        return None


def _which(known: Sequence[Known]) -> str:
    names = sorted({str(one.name or (one.owner and one.owner.name) or one.namespace.inode) for one in known})
    if not names:
        return "it has none but its own"
    more = f" and {len(names) - _NAMED_IN_ERROR} more" if len(names) > _NAMED_IN_ERROR else ""
    return f"it has {', '.join(names[:_NAMED_IN_ERROR])}{more}"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of namespace_sysctls: its options in, what it returns out.

All namespaces are held open meanwhile, so that none ends, or passes its inode on, while it is set.
"""

import contextlib
import re
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._common.errors import NamespaceError, OptionError
from .._kernel import keys, namespaces, sysctl
from .._sockets.known import ALL, OWN, Known, choose, know
from . import namespace_journal
from .dropin import ApplyError, check_state_dir
from .lock import lock_kernel, lock_state
from .namespace_journal import Entry
from .namespace_transaction import Change, Place, Start, commit, prepare, recover
from .preflight import check_asked

_VALUE = re.compile(r"[0-9 ,\t-]*\Z")


class Wish(NamedTuple):
    """What to set in the namespace that is called so. is_seen: it was observed before, and may have ended since.

    cookie: the kernel's, of the one that was observed.
    """

    name: str
    is_seen: bool
    cookie: Optional[int]
    values: Dict[str, str]


Wishes = Mapping[Optional[int], Wish]


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """Raises Error or OSError."""
    if params["lock_timeout"] < 0:
        raise OptionError(f"lock_timeout must not be negative; {params['lock_timeout']} is")
    only = [_key(key) for key in params["keys"] or ()]
    if params["state"] == "present" and only:
        raise OptionError("keys go with state: absent alone: they say what is rolled back")
    if params["state"] == "absent" and params["namespaces"]:
        raise OptionError("namespaces go with state: present alone: all that were set are rolled back")
    wishes = [_read_wish(one) for one in params["namespaces"] or ()]
    asked, state_dir = check_asked(params["asked_ports"]), check_state_dir(params["state_dir"])
    with lock_state(state_dir, params["lock_timeout"], check), contextlib.ExitStack() as stack:
        entries, boot = namespace_journal.load(state_dir), namespace_journal.boot_id()
        known = know() if entries or wishes else []
        places = list(_open(stack, known, _choose(known, wishes), entries, boot, params["lock_timeout"]))
        is_recovered = any(place.entry and place.entry.pending is not None for place in places)
        start = recover(Start(state_dir, boot, entries, places, check, {}))
        changes = commit(start, lambda place, kept: prepare(start, place, asked, only, kept))
    held = [place.entry for place in places]
    gone = [entry.namespace for entry in entries if entry not in held]
    unmet = (wish for wish in wishes if not any(place.values is wish.values for place in places))
    gone += [_unknown(wish) for wish in unmet if wish.name != ALL]
    return {
        "kind": "namespace_apply",
        "changed": is_recovered or any(change.writes for change in changes),
        "recovered": is_recovered,
        "namespaces": [_describe(change) for change in changes]
        + [{"namespace": one, "status": "gone", "settings": []} for one in gone],
        "diff": [_diff(change) for change in changes if change.current],
        "warnings": [warning for change in changes for warning in change.warnings],
    }


def _read_wish(given: Mapping[str, Any]) -> Wish:
    """Raises OptionError."""
    name, inode = given.get("name"), given.get("inode")
    if (name is None) == (inode is None):
        raise OptionError("namespaces: each has either a name or an inode")
    if name == OWN:
        raise OptionError("namespaces: own is the one of this host, whose values a drop-in sets")
    values = {_key(key): _value(key, value) for key, value in (given.get("settings") or {}).items()}
    return Wish(str(inode) if name is None else name, name is None, given.get("cookie"), values)


def _key(name: str) -> str:
    """These alone are known to be of each network namespace: any other could be one of the host."""
    key = sysctl.canonical(name)
    if key not in keys.ROWS:
        raise OptionError(f"{name} is not set in other network namespaces; known are {', '.join(keys.NAMES)}")
    return key


def _value(key: str, value: object) -> str:
    if isinstance(value, bool) or not _VALUE.match(str(value)):
        raise OptionError(f"namespaces: {key} = {value!r} is neither numbers nor a list of ports")
    return str(value).strip()


def _choose(known: Sequence[Known], wishes: Iterable[Wish]) -> Wishes:
    """The wish for each, by inode. Raises OptionError where a name is that of none, or two wishes meet."""
    chosen: Dict[Optional[int], Wish] = {}
    for wish in wishes:
        seen = [one for one in known if str(one.namespace.inode) == wish.name]
        for one in seen if wish.is_seen else choose(known, [wish.name]):
            if one.namespace.inode in chosen:
                raise OptionError(f"namespaces: {one.title()} is named twice")
            chosen[one.namespace.inode] = wish
    return chosen


def _open(
    stack: contextlib.ExitStack,
    known: Sequence[Known],
    wishes: Wishes,
    entries: Sequence[Entry],
    boot: str,
    lock_timeout_s: float,
) -> Iterator[Place]:
    """Hold and lock those that are wanted, and those of the journal. Raises Error or OSError."""
    inodes = {entry.namespace["inode"] for entry in entries}
    if inodes and any(one.namespace.inode is None for one in known):
        raise ApplyError("which network namespaces there are is not told here; run this as root (become: true)")
    for one in known:
        wish = wishes.get(one.namespace.inode)
        if not wish and one.namespace.inode not in inodes:
            continue
        try:
            descriptor = stack.enter_context(namespaces.held(one.namespace))
            with namespaces.within(descriptor):
                cookie = namespaces.cookie()
                stack.enter_context(lock_kernel(lock_timeout_s, sysctl.PROC_SYS))
        except NamespaceError as error:
            if error.ended:
                continue
            raise ApplyError(f"{one.title()} cannot be entered: {error}; run this as root (become: true)") from error
        if wish and wish.cookie is not None and wish.cookie != cookie:
            wish = None  # that one has ended, and its inode is that of another one now
        of_this_boot = (entry for entry in entries if entry.boot == boot)
        entry = next((entry for entry in of_this_boot if one.is_described(entry.namespace, cookie)), None)
        if wish or entry:
            yield Place(one, cookie, descriptor, entry, wish.values if wish else None)


def _describe(change: Change) -> Dict[str, Any]:
    status = "changed" if change.writes else "unchanged"
    return {
        "namespace": change.place.describe(),
        "status": status if change.place.values is not None else "rolled_back",
        "settings": [result._asdict() for result in change.results()],
    }


def _unknown(wish: Wish) -> Dict[str, Any]:
    """One that has ended since it was observed, or found."""
    nobody = dict.fromkeys(("owner", "pid", "program"))
    inode, name = (int(wish.name), None) if wish.is_seen else (None, wish.name)
    return {"own": False, "inode": inode, "name": name, "cookie": wish.cookie, **nobody}


def _diff(change: Change) -> Dict[str, str]:
    header = f"running kernel, {change.place.title}"
    results = [result for result in change.results() if result.before is not None]
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{result.key} = {result.before}\n" for result in results),
        "after": "".join(f"{result.key} = {result.after}\n" for result in results),
    }

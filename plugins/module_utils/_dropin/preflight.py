# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would fail, found out before anything is changed."""

import os
import re
from typing import Dict, Iterable, Mapping, NamedTuple, Optional, Sequence

from .._common.errors import OptionError
from .._kernel import keys, sysctl
from .._kernel.features import Version
from .._kernel.ports import parse_ports, parse_range
from .._kernel.sysctl_value import RefusedError, value_after
from .dropin import ApplyError, Dropin
from .syntax import Assignment

_PORT = re.compile(r"[0-9]{1,5}\Z")
_BOOLEAN_WORDS = ("true", "false", "yes", "no", "on", "off")


def check_values(assignments: Sequence[Assignment], running: Mapping[str, Optional[str]], version: Version) -> None:
    """Refuse what the kernel would refuse, or worse, take for something else. Raises OptionError.

    running: these keys, and the range and ip_unprivileged_port_start, below which it must not begin.
    """
    wanted = {**running, **{one.key: one.value for one in assignments}}
    start = wanted.get(keys.UNPRIVILEGED_PORT_START) or "0"
    bounds = {
        keys.PORT_RANGE: wanted.get(keys.PORT_RANGE),
        keys.UNPRIVILEGED_PORT_START: start if _PORT.match(start) else "0",
    }
    for one in assignments:
        wrong = what_is_wrong(one, running[one.key], bounds, version)
        if wrong:
            raise OptionError(f"content line {one.line}: {one.key} = {one.value}: {wrong}")


def what_is_wrong(
    one: Assignment, current: Optional[str], bounds: Mapping[str, Optional[str]], version: Version
) -> Optional[str]:
    if current is None:
        return None if one.optional else f'this kernel has no such key; write "-{one.key} = ..." if it may be missing'
    if one.value.lower() in _BOOLEAN_WORDS and current.replace("-", "").isdigit():
        return "this key holds a number, not a boolean; write 0 or 1"
    try:
        if one.key == keys.PORT_RANGE:
            parse_range(one.value)
        if one.key == keys.RESERVED_PORTS:
            parse_ports(one.value)
        if one.key == keys.UNPRIVILEGED_PORT_START and not _PORT.match(one.value):
            return "this is not a port"
        taken = value_after(one.key, one.value, {**bounds, one.key: current}, version)
    except RefusedError as error:
        return f"the kernel refuses that: {error}"
    except ValueError as error:
        return str(error)
    return None if sysctl.same(one.key, one.value, taken) else f"the kernel takes that for {taken}"


def check_asked(ports: Optional[str]) -> str:
    """The option asked_ports, which the journal keeps. Raises OptionError."""
    try:
        parse_ports(ports or "", lowest=1)
    except ValueError as error:
        raise OptionError(f"asked_ports: {error}") from error
    return ports or ""


class Taken(NamedTuple):
    """values: as the kernel will have them. refused: the keys whose value it does not take, with the reason."""

    values: Dict[str, str]
    refused: Dict[str, str]


def take_values(values: Mapping[str, str], running: Mapping[str, Optional[str]], version: Version) -> Taken:
    """What the kernel makes of values to restore, with the rest as it runs.

    running: these keys, and the range and ip_unprivileged_port_start, below which it must not begin.
    """
    taken = Taken({}, {})
    for key, value in values.items():
        _take(key, value, {key: running.get(key)}, version, taken)
    for key in (keys.PORT_RANGE, keys.UNPRIVILEGED_PORT_START):
        if key in taken.values:
            _take(key, values[key], {**running, **taken.values, key: running.get(key)}, version, taken)
    return taken


def _take(key: str, value: str, running: Mapping[str, Optional[str]], version: Version, taken: Taken) -> None:
    taken.values.pop(key, None)
    try:
        after = value_after(key, value, running, version)
    except RefusedError as error:
        taken.refused[key] = str(error)
    else:
        taken.values[key] = value if sysctl.same(key, value, after) else after


def check_permissions(dropin: Dropin, keys: Iterable[str], writes_file: bool) -> None:
    """Find out before anything is changed, and in check mode too, what could not be written. Raises ApplyError."""
    check_keys(keys, dropin.root)
    check_directories(dropin.state_dir, [dropin.directory] if writes_file else [])


def check_keys(keys: Iterable[str], root: str = sysctl.PROC_SYS) -> None:
    for key in keys:
        path = sysctl.path_of(key, root)
        if _is_read_only(path):
            raise ApplyError(
                f"{root} is read-only here, as in an unprivileged container, so {key} cannot be set; "
                "run this on the host, or start the container with a writable /proc/sys"
            )
        if not _may_write(path):
            raise ApplyError(f"no permission to set {key}; run this as root (become: true)")


def check_directories(state_dir: str, others: Sequence[str] = ()) -> None:
    state_directory = state_dir if os.path.isdir(state_dir) else os.path.dirname(state_dir)
    for directory in [state_directory, *others]:
        if not _may_write(directory):
            why = "it is read-only" if _is_read_only(directory) else "run this as root (become: true)"
            raise ApplyError(f"no permission to write into {directory}; {why}")


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)

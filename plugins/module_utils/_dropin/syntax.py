# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of sysctl.d(5) files."""

import re
from typing import Dict, Iterable, List, NamedTuple

from .._common.errors import OptionError
from .._kernel import sysctl

_GLOB = re.compile(r"[*?\[]")
_VALUE = re.compile(r"[\t -~]*\Z")
_KEY = re.compile(r"[!-\-0-~]+([/.][!-\-0-~]+)+\Z")
_BLANKS = " \t\r"


class Assignment(NamedTuple):
    """A line "key = value" or "-key = value". key: canonical name; optional: a failure to set it shall be ignored."""

    key: str
    value: str
    optional: bool
    line: int


def parse(text: str) -> List[Assignment]:
    """Read the assignments of a file in which every line is plain: no patterns, no exclusions.

    Of a key that stands twice the last value counts, as it does for the loaders. Raises OptionError.
    """
    found: Dict[str, Assignment] = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(_BLANKS)
        if stripped and stripped[0] not in "#;":
            assignment = _parse_line(stripped, number)
            found.pop(assignment.key, None)
            found[assignment.key] = assignment
    return list(found.values())


def without(text: str, keys: Iterable[str]) -> str:
    """A text that parse() takes, without the lines that set these keys and the comments right above them.

    A comment at the top of the text stays: it is about the file.
    """
    left: List[str] = []
    for line in text.split("\n"):
        stripped = line.strip(_BLANKS)
        if not stripped or stripped[0] in "#;" or _parse_line(stripped, 0).key not in keys:
            left.append(line)
            continue
        above = len(left)
        while above and left[above - 1].strip(_BLANKS)[:1] in ("#", ";"):
            above -= 1
        if above and not left[above - 1].strip(_BLANKS):
            del left[above - 1 :]
    return "\n".join(left)


def is_key(name: str) -> bool:
    """Whether this is the canonical name of a sysctl."""
    return _KEY.match(name) is not None and sysctl.canonical(name) == name


def _parse_line(line: str, number: int) -> Assignment:
    name, equals, value = (part.strip(_BLANKS) for part in line.partition("="))
    optional = name.startswith("-")
    if optional:
        name = name[1:].lstrip(_BLANKS)
    if not equals:
        raise OptionError(f'content line {number}: {line!r} is not of the form "key = value"')
    if _GLOB.search(name):
        raise OptionError(f"content line {number}: {name!r} is a pattern; name each key")
    if not _KEY.match(name):
        raise OptionError(
            f'content line {number}: {name!r} is not the name of a sysctl such as "net.ipv4.tcp_tw_reuse"'
        )
    if not _VALUE.match(value):
        raise OptionError(f"content line {number}: the value of {name} is not plain ASCII text")
    return Assignment(sysctl.canonical(name), value, optional, number)

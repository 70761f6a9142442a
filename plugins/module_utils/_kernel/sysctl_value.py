# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel makes of a text that is written to a sysctl. Pure.

It reads numbers as C does (010 is 8, 0x10 is 16), up to the last one that it wants: "1 # remark" is 1. Sources are
proc_dointvec(), proc_dou8vec_minmax() and proc_do_large_bitmap() in kernel/sysctl.c.
"""

import re
from typing import List, Mapping, Optional, Tuple

from .features import Version
from .keys import PORT_RANGE, RESERVED_PORTS, ROWS, TIMESTAMPS, TW_REUSE, TW_REUSE_DELAY, UNPRIVILEGED_PORT_START
from .ports import MAX_PORT, PortSet

# Of a list that is longer than a page, kernels before this one take the first page as it is cut and drop the rest
# without a word (commit 3116ad38f5f8).
LONG_LISTS = (5, 2)

# isspace() of the kernel knows the no-break space of Latin-1 too; files are read with such bytes as surrogates.
_BLANKS = " \t\n\v\f\r\udca0"
_NUMBER = r"(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"
_SIGNED = re.compile("-?" + _NUMBER)
_PORTS = re.compile(rf"({_NUMBER})(?:-({_NUMBER}))?(?:[,\n]\n*|\Z)")
_MOST_DIGITS = 20  # TMPBUFLEN
_INTEGERS = re.compile(r"-?[0-9]+(?:\s+-?[0-9]+)*\Z")
_MOST = 2**31 - 1
_UNSIGNED = (TW_REUSE, TW_REUSE_DELAY, TIMESTAMPS)
_RANGE_LENGTH = 2


class RefusedError(ValueError):
    """The kernel answers EINVAL and keeps its value; says why."""


def value_after(key: str, text: str, current: Mapping[str, Optional[str]], version: Version) -> str:
    """The value of a key once a text and a line end have been written to it; spelled with single blanks.

    current: running values. Of the key: a text may leave out numbers, which stay. Of the port range and of where
    unprivileged ports begin: each bounds the other. What is None or missing is taken not to hinder. version: of the
    kernel, such as (6, 18, 44).

    A key whose value is not numbers takes any text. Not known are limits of keys that have no row in the table, and the
    number of seconds (millions) that overflows in the kernel's ticks. Raises RefusedError.
    """
    if key == RESERVED_PORTS:
        return str(_read_ports(text))
    before = current.get(key)
    if before is None:
        before = {PORT_RANGE: f"1 {MAX_PORT}"}.get(key, "0" if key in ROWS else None)
    if before is None or not _INTEGERS.match(before.strip()):
        return " ".join(text.split())
    old = [int(word) for word in before.split()]
    new = _read_integers(key, text, len(old), _limits(key, version))
    values = new + old[len(new) :]
    if key == PORT_RANGE:
        _check_range(values[0], values[1], current.get(UNPRIVILEGED_PORT_START))
    elif key == UNPRIVILEGED_PORT_START:
        _check_start(values[0], current.get(PORT_RANGE))
    return " ".join(map(str, values))


def first_write(text: str, version: Version, page_size: int) -> str:
    """What one write() takes of a list of ports: less than a page, and no entry whose end it cannot see.

    The kernel goes on looking after a single port, for a dash, so it wants to see one character more than the comma.
    """
    seen = page_size - 1
    if len(text) < seen:
        return text
    if version < LONG_LISTS:
        return text[:seen]
    whole, _comma, rest = text[:seen].rpartition(",")
    before, _comma, last = whole.rpartition(",")
    return whole if rest or "-" in last else before


def _read_ports(text: str) -> PortSet:
    spans = []
    position = len(text) - len(text.lstrip("\n"))
    while position < len(text):
        match = _PORTS.match(text, position)
        if match is None:
            raise RefusedError(f"{_short(text[position:])} is not a list of ports")
        low, high = (_integer(match.group(end) or match.group(1)) for end in (1, 2))
        if not low <= high <= MAX_PORT:
            raise RefusedError(f"{low}-{high} is not a range of ports")
        spans.append((low, high))
        position = match.end()
    return PortSet(spans)


def _read_integers(key: str, text: str, most: int, limits: Tuple[int, int]) -> List[int]:
    values: List[int] = []
    text = text.lstrip(_BLANKS)
    while text and len(values) < most:
        match = _SIGNED.match(text)
        end = match.end() if match else 0
        if match is None or text[end : end + 1] not in ("", " ", "\t", "\n"):
            raise RefusedError(f"{_short(text)} is not a number")
        value = _integer(match.group())
        if not limits[0] <= value <= limits[1] or (text[0] == "-" and key in _UNSIGNED):
            raise RefusedError(f"{value} is outside {limits[0]} to {limits[1]}")
        values.append(value)
        text = text[end:].lstrip(_BLANKS)
    if not values:
        raise RefusedError("there is no number")
    return values


def _integer(word: str) -> int:
    """A number as strtoul(..., 0) reads it."""
    if len(word) > _MOST_DIGITS:
        raise RefusedError(f"{_short(word)} is too long for a number")
    digits = word.lstrip("-").lower()
    value = int(digits, 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10)
    return -value if word.startswith("-") else value


def _limits(key: str, version: Version) -> Tuple[int, int]:
    row = ROWS.get(key)
    if row is None or row.limits is None or version < row.limited:
        return -_MOST - 1, _MOST
    return row.limits


def _check_range(low: int, high: int, start: Optional[str]) -> None:
    if low > high:
        raise RefusedError(f"the low end {low} is above the high end {high}")
    if start is not None and low < int(start):
        raise RefusedError(f"it begins below {UNPRIVILEGED_PORT_START}, which is {start}")


def _check_start(start: int, port_range: Optional[str]) -> None:
    ends = (port_range or "").split()
    if len(ends) == _RANGE_LENGTH and int(ends[0]) < start:
        raise RefusedError(f"{PORT_RANGE} begins below it, at {ends[0]}")


def _short(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}...")

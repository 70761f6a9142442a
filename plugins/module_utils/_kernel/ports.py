# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port ranges and reserved-port lists as values: parse, format, count, subtract.

A port set is a sorted tuple of disjoint, non-adjacent, inclusive (low, high) pairs, so that 64 K reserved ports cost
as little as one. The syntax is that of ip_local_reserved_ports: "8080,9000-9010".
"""

import re
from bisect import bisect_right
from functools import lru_cache
from typing import Iterable, List, Mapping, NamedTuple, Optional, Tuple

from . import keys

MAX_PORT = 65535
# The default of ip_unprivileged_port_start.
FIRST_UNPRIVILEGED = 1024
# connect() searches one half of the range first: from here on it finds no port there, and gets slow.
FIRST_HALF = 0.5

_NUMBER = re.compile(r"[0-9]+\Z")
_SPAN = re.compile(r"\b([0-9]{1,5})(?:[ \t]*-[ \t]*([0-9]{1,5}))?\b")
_REMARK = re.compile(r"[#;]")

Spans = Tuple[Tuple[int, int], ...]


class PortRange(NamedTuple):
    """ip_local_port_range: both ends inclusive, 1 to 65535, low <= high."""

    low: int
    high: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def is_even(self) -> bool:
        """Whether a search in two passes tries every port: it leaves out one of an odd range (__inet_hash_connect)."""
        return self.size % 2 == 0

    def __str__(self) -> str:
        return f"{self.low} {self.high}"


# What the kernel starts with, since 4.2.
KERNEL_RANGE = PortRange(32768, 60999)


class PortSet:
    """An immutable set of ports."""

    __slots__ = ("spans",)

    def __init__(self, spans: Iterable[Tuple[int, int]] = ()) -> None:
        merged: List[Tuple[int, int]] = []
        for low, high in sorted(spans):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        self.spans: Spans = tuple(merged)

    @classmethod
    def of(cls, ports: Iterable[int]) -> "PortSet":
        return cls([(port, port) for port in ports])

    @classmethod
    def in_order(cls, spans: Spans) -> "PortSet":
        """Of spans that are in order already, with gaps between them."""
        result = cls.__new__(cls)
        result.spans = spans
        return result

    def __contains__(self, port: int) -> bool:
        index = bisect_right(self.spans, (port, MAX_PORT)) - 1
        return index >= 0 and port <= self.spans[index][1]

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortSet) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)

    def __or__(self, other: "PortSet") -> "PortSet":
        if not self.spans or not other.spans:
            return self if self.spans else other
        return PortSet(self.spans + other.spans)

    def __sub__(self, other: "PortSet") -> "PortSet":
        if not self.spans or not other.spans:
            return self
        left: List[Tuple[int, int]] = []
        cuts = iter(other.spans)
        cut = next(cuts, None)
        for low, high in self.spans:
            while cut is not None and cut[1] < low:
                cut = next(cuts, None)
            while cut is not None and cut[0] <= high:
                if cut[0] > low:
                    left.append((low, cut[0] - 1))
                low = cut[1] + 1
                if low > high:
                    break
                cut = next(cuts, None)
            if low <= high:
                left.append((low, high))
        return PortSet.in_order(tuple(left))

    def __and__(self, other: "PortSet") -> "PortSet":
        return self - (self - other) if self.spans and other.spans else PortSet.in_order(())

    def __str__(self) -> str:
        """The kernel's own spelling (proc_do_large_bitmap)."""
        return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.spans)


@lru_cache(maxsize=32)
def parse_range(text: str) -> PortRange:
    """Read "LOW HIGH", separated by blanks or tabs as in /proc/sys/net/ipv4/ip_local_port_range.

    The kernel takes a single number too and then changes only the low end; that is refused here.
    Raises ValueError that says what would be right.
    """
    words = text.split()
    if len(words) != 2 or not all(_is_number(word) for word in words):
        raise ValueError(f'{text!r} is not a port range: give two numbers, such as "10240 65535"')
    low, high = (_port(word) for word in words)
    if low > high:
        raise ValueError(f"{text!r} is not a port range: the low end {low} is above the high end {high}")
    return PortRange(low, high)


@lru_cache(maxsize=32)  # the same few lists over and over, and a long one takes milliseconds
def parse_ports(text: str, lowest: int = 0) -> PortSet:
    """Read "8080,9000-9010", or nothing for the empty set. Port 0, which nobody means, is reserved where the kernel
    was told so.

    Raises ValueError that names the wrong part.
    """
    stripped = text.strip()
    if not stripped:
        return PortSet()
    spans = []
    for part in stripped.split(","):
        ends = part.split("-")
        if len(ends) > 2 or not all(_is_number(end) for end in ends):
            raise ValueError(f'{part!r} is not a port or a range of ports such as "9000-9010"')
        low, high = (_port(end, lowest) for end in (ends[0], ends[-1]))
        if low > high:
            raise ValueError(f"{part!r} is not a range of ports: {low} is above {high}")
        spans.append((low, high))
    return PortSet(spans)


def union(sets: Iterable[PortSet]) -> PortSet:
    return PortSet([span for one in sets for span in one.spans])


def meant_ports(text: str) -> PortSet:
    """The ports that a text names, also where it is no list for the kernel: with blanks, quotes, or a remark behind."""
    spans = []
    for match in _SPAN.finditer(_REMARK.split(text, 1)[0]):
        low, high = sorted(int(end) for end in (match.group(1), match.group(2) or match.group(1)))
        if high <= MAX_PORT:
            spans.append((low, high))
    return PortSet(spans)


def range_ports(port_range: PortRange) -> PortSet:
    return PortSet.in_order(((port_range.low, port_range.high),))


def left_out(port_range: PortRange, two_pass: bool) -> int:
    """How many ports one search passes over: one of an odd range, since Linux 4.6 where it has two passes; but not the
    only one (remaining > 1 in __inet_hash_connect).
    """
    return 1 if two_pass and not port_range.is_even and port_range.size > 1 else 0


def usable_ports(port_range: PortRange, unusable: PortSet, two_pass: bool) -> int:
    """Ports that connect() can choose from in one search."""
    free = port_range.size - len(range_ports(port_range) & unusable)
    return max(0, free - left_out(port_range, two_pass))


def second_half(port_range: PortRange, clients: PortSet) -> int:
    """How many of the ports are of the parity that connect() tries last: odd, counted from the low end of the range."""
    return sum((high - port_range.low + 1) // 2 - (low - port_range.low) // 2 for low, high in clients.spans)


def is_of_second_half(port_range: PortRange, port: int) -> bool:
    return bool((port - port_range.low) % 2)


def client_ports(port_range: PortRange, reserved: PortSet) -> PortSet:
    """The ports that connect() may choose, if nobody holds them; who has any other port did not get it from there."""
    return range_ports(port_range) - reserved


def ports_in_force(sysctls: Mapping[str, Optional[str]]) -> Tuple[PortRange, PortSet]:
    """Range and reserved ports from the values of the two keys. Raises ValueError where the range cannot be seen."""
    port_range = sysctls[keys.PORT_RANGE]
    if port_range is None:
        raise ValueError(f"{keys.PORT_RANGE} is not visible here: {keys.why_hidden(keys.PORT_RANGE)}")
    return parse_range(port_range), parse_ports(sysctls[keys.RESERVED_PORTS] or "")


def _is_number(word: str) -> bool:
    """Decimal ASCII digits only: int() alone would take "+1", "1_0" and other scripts' digits."""
    return bool(_NUMBER.match(word))


def _port(word: str, lowest: int = 1) -> int:
    port = int(word)
    if not lowest <= port <= MAX_PORT:
        raise ValueError(f"port {word} is outside {lowest} to {MAX_PORT}")
    return port

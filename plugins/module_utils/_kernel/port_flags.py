# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of ports, a byte for each port there is: tens of thousands come in several times as fast as into a set."""

import itertools
from typing import Iterable, Iterator

from .ports import MAX_PORT, PortSet

_PAGE = 256


class PortFlags:
    """Ports that can be added and discarded; two are equal where their ports are."""

    __slots__ = ("_flags",)

    def __init__(self, ports: Iterable[int] = ()) -> None:
        self._flags = bytearray(MAX_PORT + 1)
        self.add(ports)

    @classmethod
    def of(cls, ports: PortSet) -> "PortFlags":
        found = cls()
        for low, high in ports.spans:
            found._flags[low : high + 1] = b"\1" * (high - low + 1)
        return found

    def add(self, ports: Iterable[int]) -> None:
        flags = self._flags
        for port in ports:
            flags[port] = 1

    def discard(self, ports: Iterable[int]) -> None:
        flags = self._flags
        for port in ports:
            flags[port] = 0

    def copy(self) -> "PortFlags":
        return self._of(bytearray(self._flags))

    def spread(self) -> int:
        """How many ports there are from the lowest of them to the highest."""
        return self._flags.rfind(1) - self._flags.find(1) + 1

    def every_second(self, first: int) -> "PortFlags":
        """Those of them that are first, first + 2, and so on."""
        found = PortFlags()
        found._flags[first::2] = self._flags[first::2]
        return found

    def among(self, ports: Iterable[int]) -> int:
        """How many of these ports are in the set."""
        return sum(map(self._flags.__getitem__, ports))

    def pages(self) -> bytes:
        """By the high byte of a port: whether any of those 256 is in the set."""
        return bytes(1 in self._flags[page : page + _PAGE] for page in range(0, MAX_PORT, _PAGE))

    def __iter__(self) -> Iterator[int]:
        return itertools.compress(range(MAX_PORT + 1), self._flags)

    def __contains__(self, port: int) -> bool:
        return self._flags[port] == 1

    def __len__(self) -> int:
        return self._flags.count(1)

    def __bool__(self) -> bool:
        return 1 in self._flags

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortFlags) and self._flags == other._flags

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __or__(self, other: "PortFlags") -> "PortFlags":
        return self._of_number(_number(self) | _number(other))

    def __and__(self, other: "PortFlags") -> "PortFlags":
        return self._of_number(_number(self) & _number(other))

    def __sub__(self, other: "PortFlags") -> "PortFlags":
        return self._of_number(_number(self) & ~_number(other))

    @classmethod
    def _of(cls, flags: bytearray) -> "PortFlags":
        found = cls.__new__(cls)
        found._flags = flags
        return found

    @classmethod
    def _of_number(cls, number: int) -> "PortFlags":
        return cls._of(bytearray(number.to_bytes(MAX_PORT + 1, "big")))

    def __repr__(self) -> str:
        return f"PortFlags({list(self)})"


def _number(flags: PortFlags) -> int:
    return int.from_bytes(flags._flags, "big")

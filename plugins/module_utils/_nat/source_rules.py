# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that translate source addresses, of nftables and iptables, and which ports each of them can choose.

Of what a rule matches only protocol and destination are known here. Which rule a connection met is not asked: of each
that it can have met, the ports are looked at.
"""

import socket
import struct
from typing import Callable, ClassVar, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .._kernel.ports import MAX_PORT, PortSet
from . import nft, xtables
from .choice import PLAIN, PLAIN_SIZE, Ports
from .entries import Key
from .nft import number, text, value
from .xtables import EVERY_PORT, NatRange

_INET = 1  # NFPROTO_INET, a table of both families
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}
_SNAT = 0  # NFT_NAT_SNAT
_META = {15: "family", 16: "protocol"}  # NFT_META_NFPROTO, NFT_META_L4PROTO
_NETWORK, _TRANSPORT = 1, 2  # NFT_PAYLOAD_*_HEADER
_WITHOUT_CONDITION = (b"counter", b"log")
_EQ, _LTE, _GTE = 0, 3, 5
# By family: where the header of the network has protocol and destination.
_PROTOCOL_AT = {socket.AF_INET: 9, socket.AF_INET6: 6}
_DESTINATION_AT = {socket.AF_INET: (16, 4), socket.AF_INET6: (24, 16)}
_MARKS = (b"masq\0", b"nat\0", b"SNAT\0", b"MASQUERADE\0")


class SourceRule(NamedTuple):
    """family, protocol: 0 for any. destination: address and mask. asked: destination ports that it is for.

    addresses: those that it translates to, None where that is the address of an interface, or not known.
    ports: None where it names none. chain: that it is in. is_exact: whether all that it matches is known here.
    """

    family: int
    protocol: int
    destination: Optional[Tuple[bytes, bytes]]
    asked: PortSet
    addresses: Optional[Tuple[bytes, bytes]]
    ports: Optional[Tuple[int, int]]
    flags: int
    masquerades: bool
    chain: object = None
    is_exact: bool = False

    def can_match(self, key: Key) -> bool:
        family = _FAMILIES[len(key.source)]
        return (
            self.family in (0, family)
            and self.protocol in (0, key.protocol)
            and key.port in self.asked
            and (self.destination is None or _is_within(key.address, *self.destination))
            and (self.addresses is None or self.addresses[0] <= key.source <= self.addresses[1])
        )

    def choices(self) -> Iterator[Ports]:
        number = 1 if self.masquerades else 0
        if self.addresses:
            low, high = (int.from_bytes(one, "big") for one in self.addresses)
            number = high - low + 1
        for low, high in (self.ports,) if self.ports else PLAIN:
            yield Ports(low, high, self.flags, number, True)


class SourceRules(NamedTuple):
    """readable: whether the rules could be read at all."""

    rules: Tuple[SourceRule, ...]
    readable: bool

    @property
    def least(self) -> int:
        """The size of the narrowest range that any rule has, not counting those for clients on low ports."""
        return min([rule.ports[1] - rule.ports[0] + 1 for rule in self.rules if rule.ports] + [PLAIN_SIZE])

    def choices(self, key: Key) -> List[Ports]:
        """All ranges that a connection with that key can have been given its port from, each once."""
        found: Dict[Tuple[int, int], Ports] = {}
        decided: Set[object] = set()  # chains of which a rule is sure to have matched
        for rule in self.rules:
            if rule.chain not in decided and rule.can_match(key):
                for ports in rule.choices():
                    found.setdefault((ports.low, ports.high), ports)
                if rule.is_exact:
                    decided.add(rule.chain)
        return list(found.values())


def read(proc: str = "/proc") -> SourceRules:
    """Both kinds of tables can be in use at one time. Without privilege neither is read."""
    found: List[SourceRule] = []
    try:
        for family, rule in nft.rules(proc):
            if any(mark in rule for mark in _MARKS):
                found += _of_nft(family, rule)
        found += map(_of_legacy, xtables.legacy_rules(proc))
    except (OSError, struct.error):
        return SourceRules(tuple(found), False)
    return SourceRules(tuple(found), True)


def _of_legacy(rule: xtables.LegacyRule) -> SourceRule:
    said = rule.range
    masquerades = rule.target == b"MASQUERADE"
    return SourceRule(
        rule.family,
        rule.protocol,
        rule.destination,
        rule.ports,
        said.addresses,
        said.ports,
        said.flags,
        masquerades,
        (rule.family, rule.chain),
        rule.is_exact,
    )


def _of_nft(family: int, rule: bytes) -> List[SourceRule]:
    """What a rule is of these; nothing where it does not translate sources."""
    reader = _Reader(0 if family == _INET else family)
    for name, data in nft.expressions(rule):
        reader.read(name, data)
    return [reader.found._replace(chain=(family, *nft.place(rule)))] if reader.found else []


class _Reader:
    """Goes through the expressions of a rule as the kernel does, with registers."""

    def __init__(self, family: int) -> None:
        self.found: Optional[SourceRule] = None
        self._family = family
        self._protocol = 0
        self._destination: Optional[Tuple[bytes, bytes]] = None
        self._low, self._high = 0, MAX_PORT
        self._asked = EVERY_PORT
        self._loaded: Dict[int, str] = {}  # by register: what was loaded into it from the packet
        self._masks: Dict[int, bytes] = {}
        self._values: Dict[int, bytes] = {}  # by register: constants
        self._is_exact = True

    def read(self, name: bytes, data: nft.Attributes) -> None:
        how = self._READERS.get(name)
        if how:
            how(self, data)
        elif name not in _WITHOUT_CONDITION:
            self._is_exact = False

    def _meta(self, data: nft.Attributes) -> None:
        if 1 in data:
            self._load(number(data[1]), _META.get(number(data.get(2)), ""))

    def _payload(self, data: nft.Attributes) -> None:
        self._load(number(data.get(1)), self._field(*(number(data.get(one)) for one in (2, 3, 4))))

    def _bitwise(self, data: nft.Attributes) -> None:
        register = number(data.get(2))
        self._loaded[register] = self._loaded.get(number(data.get(1)), "")
        self._masks[register] = value(data.get(4))

    def _immediate(self, data: nft.Attributes) -> None:
        self._values[number(data.get(1))] = value(data.get(2))

    def _cmp(self, data: nft.Attributes) -> None:
        self._compare(self._loaded.get(number(data.get(1)), ""), number(data.get(2)), data)

    def _range(self, data: nft.Attributes) -> None:
        if number(data.get(2)) == _EQ and self._loaded.get(number(data.get(1))) == "port":
            self._low = max(self._low, number(value(data.get(3))))
            self._high = min(self._high, number(value(data.get(4))))
        else:
            self._is_exact = False

    def _match(self, data: nft.Attributes) -> None:
        name, match = text(data.get(1)), data.get(3, b"")
        self._asked &= xtables.matched_ports(name, match)
        self._is_exact = self._is_exact and xtables.is_exact(name, match)

    def _masq(self, data: nft.Attributes) -> None:
        self._find(NatRange(None, self._pair(data, 2, 3), number(data.get(1))), True)

    def _nat(self, data: nft.Attributes) -> None:
        if number(data.get(1)) == _SNAT:
            self._find(NatRange(self._addresses(data), self._pair(data, 5, 6), number(data.get(7))), False)

    def _target(self, data: nft.Attributes) -> None:
        target = text(data.get(1))
        if target in xtables.TARGETS:
            said = xtables.nat_range(target, number(data.get(2)), data.get(3, b""), self._family)
            self._find(said, target == b"MASQUERADE")

    _READERS: ClassVar[Dict[bytes, Callable[["_Reader", nft.Attributes], None]]] = {
        b"meta": _meta,
        b"payload": _payload,
        b"bitwise": _bitwise,
        b"immediate": _immediate,
        b"cmp": _cmp,
        b"range": _range,
        b"match": _match,
        b"masq": _masq,
        b"nat": _nat,
        b"target": _target,
    }

    def _find(self, said: NatRange, masquerades: bool) -> None:
        asked = self._asked & PortSet([(self._low, self._high)]) if self._low <= self._high else PortSet()
        family = self._family or (_FAMILIES[len(said.addresses[0])] if said.addresses else 0)
        self.found = SourceRule(
            family, self._protocol, self._destination, asked, said.addresses, said.ports, said.flags, masquerades
        )._replace(is_exact=self._is_exact)

    def _load(self, register: int, what: str) -> None:
        self._loaded[register] = what
        self._masks.pop(register, None)

    def _field(self, header: int, offset: int, length: int) -> str:
        if header == _TRANSPORT:
            return "port" if (offset, length) == (2, 2) else ""
        if header != _NETWORK:
            return ""
        for family, at in _PROTOCOL_AT.items():
            if self._family == family and (offset, length) == (at, 1):
                return "protocol"
        at, size = _DESTINATION_AT[socket.AF_INET if length <= 4 else socket.AF_INET6]
        return "destination" if offset == at and length <= size else ""

    def _compare(self, what: str, operator: int, data: nft.Attributes) -> None:
        given = value(data.get(3))
        if what == "protocol" and operator == _EQ:
            self._protocol = number(given)
        elif what == "port" and operator in (_EQ, _GTE, _LTE):
            self._low = max(self._low, number(given)) if operator != _LTE else self._low
            self._high = min(self._high, number(given)) if operator != _GTE else self._high
        elif what == "destination" and operator == _EQ:
            mask = self._masks.get(number(data.get(1))) or b"\xff" * len(given)
            self._destination = given, mask
        elif not (what == "family" and operator == _EQ and number(given) == self._family):
            self._is_exact = False

    def _pair(self, data: nft.Attributes, low: int, high: int) -> Optional[Tuple[int, int]]:
        """Ports that are constants. A map chooses others for each connection."""
        first = self._values.get(number(data.get(low)))
        last = self._values.get(number(data.get(high)), first)
        return (number(first[:2]), number((last or first)[:2])) if first else None

    def _addresses(self, data: nft.Attributes) -> Optional[Tuple[bytes, bytes]]:
        first = self._values.get(number(data.get(3)))
        last = self._values.get(number(data.get(4)), first)
        if not first or len(first) not in _FAMILIES:
            return None
        return first, last or first


def _is_within(address: bytes, wanted: bytes, mask: bytes) -> bool:
    """A prefix of whole bytes is compared as such: nft leaves the others out."""
    if len(wanted) > len(address) or len(mask) != len(wanted):
        return False
    return all(byte & bits == one & bits for byte, one, bits in zip(address, wanted, mask))

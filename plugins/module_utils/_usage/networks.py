# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which destinations are beyond a NAT gateway. Pure."""

import ipaddress
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from .._common.errors import OptionError

# A host has no business there through a gateway, whatever anybody says.
_NEVER = (
    *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/128", "::1/128", "fe80::/10", "ff00::/8"),
)
# Private networks, that of carriers' NAT among them (RFC 1918, 6598, 4193). IPv6 is not translated, as a rule.
INSIDE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "::/0")
OUTSIDE = ("0.0.0.0/0",)


class _Network(NamedTuple):
    size: int
    prefix: int
    shift: int
    outside: bool


class Networks:
    """Which addresses are beyond the gateway: the most specific network decides, and named ones before others."""

    def __init__(self, inside: Iterable[str] = (), outside: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no network."""
        named = [*_read(inside, False), *_read(outside, True), *_read(INSIDE, False), *_read(OUTSIDE, True)]
        self._networks = [*_read(_NEVER, False), *sorted(named, key=lambda one: one.shift)]
        self._known: Dict[bytes, bool] = {}

    def __contains__(self, address: bytes) -> bool:
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._find(address)
        return found

    def _find(self, address: bytes) -> bool:
        size, number = len(address), int.from_bytes(address, "big")
        return next(one.outside for one in self._networks if one.size == size and number >> one.shift == one.prefix)


def _read(texts: Iterable[str], outside: bool) -> List[_Network]:
    networks = [ipaddress.ip_network(text) for text in texts]
    return [
        _Network(one.max_prefixlen // 8, int(one.network_address) >> shift, shift, outside)
        for one in networks
        for shift in [one.max_prefixlen - one.prefixlen]
    ]


class Behind(NamedTuple):
    """That a host is behind a gateway. enough: of so many sockets at most, none need be read one by one."""

    gateway: str
    networks: Networks
    enough: int


def check_behind(given: Optional[Dict[str, Any]]) -> Optional[Behind]:
    """The option behind_nat. Raises OptionError."""
    if given is None:
        return None
    try:
        networks = Networks(given["inside"] or (), given["outside"] or ())
    except ValueError as error:
        raise OptionError(f"behind_nat: {error}") from error
    return Behind(given["gateway"], networks, given["enough"])

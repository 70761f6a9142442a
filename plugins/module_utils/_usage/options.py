# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of port_usage_info, checked."""

import ipaddress
import re
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from .._common.errors import OptionError
from .._kernel.ports import MAX_PORT
from .._kernel.tcp import Destination, fold
from .networks import Behind, check_behind

# A result has to stay small: it goes through the controller's one main process.
MAX_POOLS = 1000

_UDP_WARNING, _UDP_CRITICAL = 0.8, 0.9

_ADDRESS_AND_PORT = re.compile(r"(?:\[([^]]*)]|([^:]*))(?::([0-9]+))?\Z")


class Thresholds(NamedTuple):
    """Saturation from which on a pool is at a level."""

    warning: float
    critical: float

    @property
    def of_udp(self) -> "Thresholds":
        """Its search tries all ports alike, so that half of them are as good as none; from these on it gets long."""
        return Thresholds(max(self.warning, _UDP_WARNING), max(self.critical, _UDP_CRITICAL))


class Only(NamedTuple):
    """Which destinations to report: an address, and a port unless None."""

    address: bytes
    port: Optional[int]

    def matches(self, destination: Destination) -> bool:
        return destination[1] == self.address and self.port in (None, destination[2])


class ScanOptions(NamedTuple):
    """What to read, how, and what of it to return."""

    method: str
    detail: str
    max_pools: int
    only: Optional[Only]
    thresholds: Thresholds
    probe: str
    namespaces: Tuple[str, ...]
    behind: Optional[Behind] = None


def check_options(options: Mapping[str, Any]) -> ScanOptions:
    """Raises OptionError."""
    if not 1 <= options["max_pools"] <= MAX_POOLS:
        raise OptionError(f"max_pools must be between 1 and {MAX_POOLS}, not {options['max_pools']}")
    return ScanOptions(
        options["method"],
        options["detail"],
        options["max_pools"],
        parse_only(options["destination"]) if options["destination"] else None,
        check_thresholds(options["warning_threshold"], options["critical_threshold"]),
        options["probe"],
        tuple(options["namespaces"]),
        check_behind(options.get("behind_nat")),
    )


def check_thresholds(warning: float, critical: float) -> Thresholds:
    """Raises OptionError unless 0 < warning <= critical <= 1."""
    if not 0 < warning <= critical <= 1:
        raise OptionError(
            f"warning_threshold {warning:g} and critical_threshold {critical:g} must rise and be between 0 and 1"
        )
    return Thresholds(warning, critical)


def parse_only(text: str) -> Only:
    """Read "ADDRESS", "ADDRESS:PORT" or "[IPV6]:PORT". Raises OptionError."""
    _refuse_two_meanings(text)
    match = _ADDRESS_AND_PORT.match(text)
    address, port = (match.group(1) or match.group(2), match.group(3)) if match else (text, None)
    try:
        number = None if port is None else int(port)
        if number is not None and not 1 <= number <= MAX_PORT:
            raise ValueError(number)
        return Only(fold(ipaddress.ip_address(address).packed), number)
    except ValueError as error:
        wanted = "ADDRESS, ADDRESS:PORT or [IPV6]:PORT with a literal address"
        raise OptionError(f"destination {text!r} is not {wanted}") from error


def _refuse_two_meanings(text: str) -> None:
    """2001:db8::1:80 is an address, and is what one writes who forgets the brackets of an address with a port."""
    address, _colon, last = text.rpartition(":")
    try:
        ipaddress.IPv6Address(text), ipaddress.IPv6Address(address)
    except ValueError:
        return
    if last.isdecimal():
        raise OptionError(f"destination {text!r} can mean two: write [{text}], or [{address}]:{last} with a port")

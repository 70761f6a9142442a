# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From counted sockets to saturation per destination. Pure: no I/O, no clock."""

import heapq
import ipaddress
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._errors import OptionError
from .._kernel import keys
from .._kernel.features import TIME_WAIT_MS
from .._kernel.ports import MAX_PORT, PortRange, PortSet, parse_ports, parse_range, range_ports, usable_ports
from .._sockets.socket_table import STATES, Census, Destination, fold
from . import forecast

_ADDRESS_AND_PORT = re.compile(r"(?:\[([^]]*)]|([^:]*))(?::([0-9]+))?\Z")


class Thresholds(NamedTuple):
    """Saturation from which on a destination is at a level."""

    warning: float
    critical: float


class Only(NamedTuple):
    """Which destinations to report: an address, and a port unless None."""

    address: bytes
    port: Optional[int]

    def matches(self, destination: Destination) -> bool:
        return destination[1] == self.address and self.port in (None, destination[2])


class Reuse(NamedTuple):
    """When connect() may take over a TIME_WAIT socket (tcp_twsk_unique).

    mode: tcp_tw_reuse as this kernel understands it: 0 never, 1 always, 2 for loopback addresses.
    delay_ms: the age from which on it may.
    """

    mode: int
    delay_ms: int

    def hold_ms(self, destination: Destination) -> int:
        """How long a closed connection blocks its port for this destination."""
        effective = self.mode == 1 or (self.mode == 2 and is_loopback(destination))
        return self.delay_ms if effective else TIME_WAIT_MS


def parse_only(text: str) -> Only:
    """Read "ADDRESS", "ADDRESS:PORT" or "[IPv6]:PORT". Raises OptionError."""
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


def is_loopback(destination: Destination) -> bool:
    """The kernel's rule for tcp_tw_reuse = 2: an address of 127.0.0.0/8 or ::1 at either end.

    Any other local address does not count, although its traffic goes over lo too.
    """
    return any(ipaddress.ip_address(address).is_loopback for address in destination[:2])


def reuse_in_force(kernel: Mapping[str, Any], sysctls: Mapping[str, Optional[str]]) -> Reuse:
    """What tcp_tw_reuse does on this host at present.

    A socket remembers whether its connection had timestamps, but does not tell: tcp_timestamps stands for it. Where a
    container on an old kernel cannot see the key, the kernel's default (on) is assumed.
    """
    value = int(sysctls[keys.TW_REUSE] or 0)
    if value and value not in kernel["tcp_tw_reuse"]["modes"]:
        value = 1
    if sysctls[keys.TIMESTAMPS] == "0":
        value = 0
    return Reuse(value, kernel["reuse_delay"]["milliseconds"])


def check_thresholds(warning: float, critical: float) -> Thresholds:
    """Raises OptionError unless 0 < warning <= critical <= 1."""
    if not 0 < warning <= critical <= 1:
        raise OptionError(
            f"warning_threshold {warning:g} and critical_threshold {critical:g} must rise and be between 0 and 1"
        )
    return Thresholds(warning, critical)


def level_of(saturation: float, thresholds: Thresholds) -> str:
    if saturation >= 1:
        return "exhausted"
    if saturation >= thresholds.critical:
        return "critical"
    return "warning" if saturation >= thresholds.warning else "ok"


def ports_in_force(sysctls: Mapping[str, Optional[str]]) -> Tuple[PortRange, PortSet]:
    """Range and reserved ports from the values of the two keys. Raises ValueError where the range cannot be seen."""
    port_range = sysctls[keys.PORT_RANGE]
    if port_range is None:
        raise ValueError(f"{keys.PORT_RANGE} is not visible here: {keys.why_hidden(keys.PORT_RANGE)}")
    return parse_range(port_range), parse_ports(sysctls[keys.RESERVED_PORTS] or "")


def blocked_at_most(sockstat: Mapping[str, Mapping[str, int]]) -> int:
    """A number that the blocked ports of no destination exceed, from /proc/net/sockstat and sockstat6.

    C(tw) counts TIME_WAIT, and FIN_WAIT_2 without an owner, of IPv4 and IPv6. Up to Linux 4.10 it counts them for the
    whole host, so that in a container the number is too large rather than too small.
    """
    return sum(
        sockstat.get(name, {}).get(field, 0) for name, field in (("TCP", "inuse"), ("TCP", "tw"), ("TCP6", "inuse"))
    )


def proves_ok(sockstat: Mapping[str, Mapping[str, int]], usable: int, thresholds: Thresholds) -> bool:
    """Whether no destination can have reached C(warning), however the sockets are spread.

    A socket can also hold a port, bound but not connected, so that it is not usable. C(alloc) counts those too, of
    IPv4 and IPv6 and the whole host.
    """
    if "TCP" not in sockstat:
        return False
    return blocked_at_most(sockstat) < (usable - sockstat["TCP"]["alloc"]) * thresholds.warning


def describe_ports(port_range: PortRange, reserved: PortSet, census: Optional[Census]) -> Dict[str, Any]:
    """The C(port_range) part of port_usage_info. A held port that is reserved too counts as reserved.

    Without a census it is not known which ports are held; C(usable) is then what they would be if none were.
    """
    within = range_ports(port_range)
    held = PortSet.of(census.listening | census.bound) if census else PortSet()
    return {
        "low": port_range.low,
        "high": port_range.high,
        "size": port_range.size,
        "reserved": len(within & reserved),
        "held": len((within & held) - reserved) if census else None,
        "usable": usable_ports(port_range, reserved | held),
    }


def describe_sockets(census: Census) -> Dict[str, int]:
    """Sockets per state, each of the states of tcp(7) named."""
    return {name: census.states[number] for number, name in STATES.items()}


def most_loaded(census: Census, reuse: Reuse, number: int, only: Optional[Only] = None) -> List[Destination]:
    """The destinations with the most blocked ports, the worst first."""

    def order(destination: Destination) -> Tuple[int, int, Destination]:
        least = forecast.least_blocking(reuse.hold_ms(destination))
        blocked = census.live[destination] + census.time_wait.number(destination, least)
        return -blocked, -census.time_wait.number(destination), destination

    every = set(census.live) | set(census.time_wait)
    return heapq.nsmallest(number, (one for one in every if only is None or only.matches(one)), key=order)


def worst_level(pools: Sequence[Mapping[str, Any]], usable: int) -> str:
    """The level of the most loaded destination: all have the same usable ports. Without any, no connect succeeds."""
    if not usable:
        return "exhausted"
    return str(pools[0]["level"]) if pools else "ok"


def describe_destination(
    destination: Destination, census: Census, usable: int, reuse: Reuse, thresholds: Thresholds
) -> Dict[str, Any]:
    """One of the C(pools) of port_usage_info."""
    source, address, port = destination
    ticks: Mapping[int, int] = census.time_wait.get(destination, {})
    live = census.live[destination]
    hold_ms = reuse.hold_ms(destination)
    time_wait, waiting = sum(ticks.values()), forecast.blocked_now(ticks, hold_ms)
    blocked = live + waiting
    saturation = min(1.0, blocked / usable) if usable else 1.0
    return {
        "kind": "connect",
        "source": str(ipaddress.ip_address(source)),
        "address": str(ipaddress.ip_address(address)),
        "port": port,
        "usable": usable,
        "blocked": blocked,
        "time_wait": time_wait,
        "reusable": time_wait - waiting,
        "live": live,
        "fin_wait2": census.fin_wait2[destination],
        "hold_seconds": hold_ms / 1000,
        "saturation": round(saturation, 4),
        "level": level_of(saturation, thresholds),
        "rate": {
            f"last_{seconds}s": round(forecast.closed_per_second(ticks, seconds * 1000), 1) for seconds in (1, 10, 60)
        },
        "trend": forecast.trend(ticks, hold_ms),
        "forecast": forecast.forecast(ticks, live, hold_ms, usable, thresholds.critical)._asdict(),
    }

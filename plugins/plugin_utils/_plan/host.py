# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a usage decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ...module_utils._dropin.journal import DROPIN
from ...module_utils._dropin.ownership import without_ours
from ...module_utils._kernel import features, keys, sysctl
from ...module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS, TIMESTAMPS, TW_RECYCLE, TW_REUSE
from ...module_utils._kernel.ports import (
    FIRST_UNPRIVILEGED,
    PortRange,
    PortSet,
    parse_ports,
    parse_range,
    ports_in_force,
    usable_ports,
)
from .._model import AppliedKey, Claim, PortLine


class Host(NamedTuple):
    """What decides of a usage.

    port_range, reserved: what is in force. own: what this collection has set by this drop-in, and what it was before;
    others_of_ours: the same of its other drop-ins. before: the sysctls as they would be without this drop-in; what
    somebody else has set since is not ours. asked: reserved ports that it was asked for by name. tcp: ports of
    listeners. udp: ports of UDP services; udp_clients: those that a client seems to have. lines: of sysctl files other
    than our drop-in. is_elsewhere: it is another network namespace of a host, which no file sets.
    """

    is_elsewhere: bool
    kernel: Mapping[str, Any]
    sysctls: Mapping[str, str | None]
    own: Mapping[str, AppliedKey]
    others_of_ours: tuple[Mapping[str, AppliedKey], ...]
    before: Mapping[str, str | None]
    asked: PortSet
    port_range: PortRange
    reserved: PortSet
    reserved_in_files: PortSet
    tcp: PortSet
    udp: PortSet
    udp_clients: PortSet
    claims: tuple[Claim, ...]
    lines: tuple[PortLine, ...]
    first_port: int

    @property
    def version(self) -> features.Version:
        major, minor, patch = map(int, self.kernel["version"])
        return major, minor, patch

    @property
    def is_two_pass(self) -> bool:
        return bool(self.kernel["two_pass_port_search"]["supported"])

    @property
    def short_version(self) -> str:
        major, minor, _patch = self.version
        return f"{major}.{minor}"

    def value(self, name: str) -> str | None:
        return self.sysctls[f"net.ipv4.{name}"]

    def usable_without_us(self) -> int:
        """As many ports as there would be without any drop-in of this collection."""
        port_range, reserved = self.before[PORT_RANGE], self.before[RESERVED_PORTS]
        for other in reversed(self.others_of_ours):
            port_range = _before(PORT_RANGE, port_range, other.get(PORT_RANGE))
            reserved = _before(RESERVED_PORTS, reserved, other.get(RESERVED_PORTS))
        return self.usable(port_range, reserved)

    def usable(self, port_range: str | None, reserved: str | None) -> int:
        """Ports that connect() could take with these values."""
        return _usable(port_range, reserved, self.is_two_pass)

    @property
    def range_before(self) -> PortRange:
        return parse_range(self.before[PORT_RANGE] or "")

    @property
    def reserved_before(self) -> PortSet:
        return parse_ports(self.before[RESERVED_PORTS] or "")


def read_usage(usage: Mapping[str, Any], dropin: str = DROPIN) -> Host:
    """Raises ValueError unless it is a result of port_usage_info that knows the services."""
    if usage.get("method") == "sockstat":
        raise ValueError("the services of this host were not observed; call port_usage_info with detail: full")
    try:
        sysctls = usage["sysctls"]
        _check_numbers(sysctls)
        port_range, reserved = ports_in_force(sysctls)
        services, journal = usage["listening_ports"], usage.get("journal") or {}
        own = journal.get("applied", {})
        is_elsewhere = not usage.get("namespace", {"own": True})["own"]
        return Host(
            is_elsewhere=is_elsewhere,
            kernel=usage["kernel"],
            sysctls=sysctls,
            own=own,
            others_of_ours=tuple(one["applied"] for one in usage["other_dropins"] if not is_elsewhere),
            before={**sysctls, **{key: _before(key, sysctls[key], one) for key, one in own.items() if key in sysctls}},
            asked=parse_ports(journal.get("asked", "")),
            port_range=port_range,
            reserved=reserved,
            reserved_in_files=parse_ports("" if is_elsewhere else usage["reserved_in_files"]),
            tcp=PortSet.of(services["tcp"]),
            udp=PortSet.of(services["udp"]),
            udp_clients=PortSet.of(services["udp_clients"]),
            claims=tuple(usage["claims"] or ()),
            lines=tuple(line for line in usage["port_lines"] if line["file"] != dropin and not is_elsewhere),
            first_port=int(sysctls[keys.UNPRIVILEGED_PORT_START] or FIRST_UNPRIVILEGED),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the input is not a result of netops.ephemeral_ports.port_usage_info: {error}") from error


@lru_cache(maxsize=64)  # six times for each host, and thousands of hosts have the same values
def _usable(port_range: str | None, reserved: str | None, two_pass: bool) -> int:
    return usable_ports(*ports_in_force({PORT_RANGE: port_range, RESERVED_PORTS: reserved}), two_pass)


def _check_numbers(sysctls: Mapping[str, str | None]) -> None:
    """What stands in the drop-in as it was read."""
    for key in (TIMESTAMPS, TW_REUSE, TW_RECYCLE):
        value = sysctls[key]
        if value is not None and not value.isdecimal():
            raise ValueError(f"{key} is {value!r} on this host, and no number")


def _before(key: str, current: str | None, own: AppliedKey | None) -> str | None:
    if current is None or own is None:
        return current
    if key == RESERVED_PORTS:
        return without_ours(own["before"], own["applied"], current)
    return sysctl.with_blanks(own["before"]) if sysctl.same(key, current, own["applied"]) else current

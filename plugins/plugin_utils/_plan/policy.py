# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user wants, read from the options of the role. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...module_utils._kernel.ports import PortRange, PortSet, parse_ports, parse_range

AUTO, LEAVE = "auto", "leave"
FEWER_PORTS = "fewer_ports"
NOTHING = PortSet()
RISKS = frozenset({"tcp_tw_recycle", FEWER_PORTS})

_CHOICES = {"tcp_tw_reuse": ("0", "1", "2"), "tcp_timestamps": ("0", "1", "2"), "tcp_tw_recycle": ("0", "1")}


class PolicyError(ValueError):
    """The policy names something impossible. The message names the option, the value, and what would be right."""


@dataclass(frozen=True)
class Policy:
    """What the user wants of each key: AUTO, LEAVE, or a value."""

    ip_local_port_range: PortRange | str = AUTO
    ip_local_reserved_ports: PortSet | str = AUTO
    tcp_tw_reuse: str = AUTO
    tcp_timestamps: str = AUTO
    tcp_tw_recycle: str = LEAVE
    reserve: PortSet = NOTHING
    do_not_reserve: PortSet = NOTHING
    accept_risk: frozenset[str] = frozenset()


OPTIONS = tuple(one.name for one in fields(Policy))


def read_policy(policy: Mapping[str, Any]) -> Policy:
    """Raises PolicyError that names the option."""
    for name in policy:
        if name not in OPTIONS:
            raise PolicyError(f"{name} is not a part of the policy; known are {', '.join(OPTIONS)}")
    wish = Policy(**{name: _read_option(name, given) for name, given in policy.items()})
    if wish.reserve and wish.ip_local_reserved_ports == LEAVE:
        raise PolicyError("reserve names ports, but ip_local_reserved_ports is leave; let it be auto")
    return wish


def _read_option(name: str, given: object) -> Any:  # noqa: ANN401 - the type is that of the field of Policy
    try:
        return _parse_option(name, given)
    except ValueError as error:
        raise PolicyError(f"{name}: {error}") from error


def _parse_option(name: str, given: object) -> object:
    if name in ("reserve", "do_not_reserve", "accept_risk"):
        values = [_word(value) for value in (given if isinstance(given, (list, tuple)) else [given])]
        if name != "accept_risk":
            return parse_ports(",".join(values), lowest=1)
        if not RISKS.issuperset(values):
            raise ValueError(f"{', '.join(values)} names no risk; known are {', '.join(sorted(RISKS))}")
        return frozenset(values)
    value = _word(given)
    if value in (AUTO, LEAVE) and (name, value) != ("tcp_tw_recycle", AUTO):
        return value
    if name == "ip_local_port_range":
        return parse_range(value)
    if name == "ip_local_reserved_ports":
        return parse_ports(value, lowest=1)
    if value not in _CHOICES[name]:
        words = [LEAVE] if name == "tcp_tw_recycle" else [AUTO, LEAVE]
        raise ValueError(f"{value!r} is not one of {', '.join([*words, *_CHOICES[name]])}")
    return value


def _word(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError(f"the boolean {str(value).lower()} is not a value here; give a number or a word in quotes")
    if not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is not a number or a string")
    return str(value).strip()


def asked_ports(policy: Mapping[str, Any]) -> str:
    """The reserved ports that the user names. A later run releases those that are not named any more."""
    wish = read_policy(policy)
    listed = wish.ip_local_reserved_ports
    return str(wish.reserve | (listed if isinstance(listed, PortSet) else NOTHING))

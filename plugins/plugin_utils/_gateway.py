# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NAT gateway that a host is behind, as the inventory says it in ephemeral_ports_nat. Pure.

What a gateway has is known to its operator alone: nothing here is measured. docs/nat.md describes the variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ..module_utils._nat.choice import PLAIN_SIZE
from ..module_utils._usage.networks import Networks
from . import _border
from ._model import Gateway

VARIABLE = "ephemeral_ports_nat"

# Of a Linux router: the ports that masquerade has for clients' ports from 1024 on, and the default of
# nf_conntrack_tcp_timeout_time_wait (net/netfilter/nf_nat_core.c, nf_conntrack_proto_tcp.c). They stand in where a
# provider tells nothing, too.
PORTS, HOLD_SECONDS = PLAIN_SIZE, 120.0
ADDRESSES = 1
# From which share of its ports on Linux drops the first SYN, by their number: it does not search all of them. Medians
# of simulated fills; of 400 ports, 25 fills on Linux 6.18 gave 0.96. Where clients' own ports are kept, as with 64,512,
# it is less: 0.77 was measured.
_FIRST_DROP = ((128, 1.0), (400, 0.97), (1_000, 0.95), (4_000, 0.93), (16_000, 0.90), (PORTS, 0.77))
# From this share of a host's own ports on it is worth to read its sockets one by one.
NEAR = 0.4

_FIELDS = ("gateway", "preset", "ports", "addresses", "ports_per", "hold_seconds", "drops_from", "inside", "outside")
_EXAMPLE = "{gateway: nat-eu1, preset: aws_nat_gateway, addresses: 2} or {gateway: nat-eu1, ports: 64512}"
_MOST_ADDRESSES, _LONGEST = 1024, 86_400


class Preset(NamedTuple):
    """What a provider gives by default. ports: for each destination, of each address. hold_seconds: None where the
    provider tells none. source: the page that says so, as it was on that date. searches: whether it drops SYNs before
    its last port is taken, as Linux does.
    """

    ports: int
    ports_per: Literal["gateway", "host"]
    hold_seconds: float | None
    source: str
    date: str
    searches: bool = False


PRESETS: Mapping[str, Preset] = {
    "linux_masquerade": Preset(PORTS, "gateway", HOLD_SECONDS, "Linux, net/netfilter/nf_nat_core.c", "2026-11", True),
    # From Linux 6.5 on, a router that finds no port takes that of a closed connection.
    "linux_masquerade_6_5": Preset(PORTS, "gateway", 0.0, "Linux, net/netfilter/nf_nat_core.c", "2026-11", True),
    # "Each IPv4 address can support up to 55,000 simultaneous connections to each unique destination." Older editions
    # add: "approximately 900 connections per second to a single destination (about 55,000 connections per minute)".
    "aws_nat_gateway": Preset(55_000, "gateway", 60.0, "Amazon VPC User Guide, NAT gateway basics", "2023-02"),
    # "up to 50,000 concurrent connections per public IP address to the same destination endpoint", of 64,512 SNAT
    # ports; a port is held down for 65 s after a FIN.
    "azure_nat_gateway": Preset(50_000, "gateway", 65.0, "Microsoft Learn, Azure NAT Gateway resource", "2023-07"),
    # Default port allocation for pools of up to 50 instances; 512 for up to 100, and so on.
    "azure_load_balancer": Preset(1_024, "host", None, "Microsoft Learn, SNAT for outbound connections", "2022-03"),
    # Minimum ports per VM with static allocation. Gateways made before 2026-06-30 keep a TIME_WAIT timeout of 120 s,
    # those made from 2026-09-30 on have 30 s.
    "gcp_cloud_nat": Preset(64, "host", 30.0, "Google Cloud, Cloud NAT release notes of 2026-03-31", "2026-03"),
    "gcp_cloud_nat_120s": Preset(64, "host", 120.0, "Google Cloud, Tune NAT configuration", "2026-03"),
}


def read_gateway(value: object, host: str) -> Gateway | None:
    """The variable of a host, with what it leaves open filled in. None where the host is behind none.

    Raises ValueError with one sentence that names host, variable, value and what would be right.
    """
    if value is None or value is False or value in ("", {}):
        return None
    try:
        return _read(value)
    except ValueError as error:
        shown = _border.clean(repr(_plain(value)), 200)
        raise ValueError(f"{VARIABLE} of {host} is {shown}: {error}") from None


def capacity(gateway: Gateway) -> int:
    """Ports for one destination: of the gateway, or where it gives each host its own, of one host."""
    return gateway["ports"] * gateway["addresses"]


def first_drop(ports: int) -> float:
    """From which share of so many ports on Linux drops the first SYN."""
    before = (1, 1.0)
    for number, share in _FIRST_DROP:
        if ports <= number:
            part = math.log(ports / before[0]) / math.log(number / before[0])
            return round(before[1] + (share - before[1]) * part, 3)
        before = (number, share)
    return before[1]


def behind_nat(gateway: Gateway) -> dict[str, Any]:
    """The option of port_usage_info. Where hosts have ports of their own, few sockets cannot use them up."""
    enough = 0
    if gateway["ports_per"] == "host":
        enough = int(NEAR * capacity(gateway) / max(1.0, gateway["hold_seconds"] / 60))
    return {
        "gateway": gateway["name"],
        "inside": gateway["inside"],
        "outside": gateway["outside"],
        "enough": enough,
    }


def _read(value: object) -> Gateway:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a dictionary, as in {_EXAMPLE}")
    unknown = [str(name) for name in value if name not in _FIELDS]
    if unknown:
        raise ValueError(f"it has no {', '.join(unknown)}; what it has is {', '.join(_FIELDS)}")
    name = value.get("gateway")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"gateway has to name the gateway, as in {_EXAMPLE}")
    chosen = value.get("preset")
    if chosen is not None and chosen not in PRESETS:
        raise ValueError(f"preset has to be one of {', '.join(PRESETS)}")
    preset = PRESETS[str(chosen or "linux_masquerade")]
    ports_per = value.get("ports_per", preset.ports_per)
    if ports_per not in ("gateway", "host"):
        raise ValueError("ports_per has to be gateway, whose hosts share the ports, or host, where each has its own")
    hold_seconds = HOLD_SECONDS if preset.hold_seconds is None else preset.hold_seconds
    ports = int(_number(value, "ports", preset.ports, 1, 65_535, whole=True))
    gateway: Gateway = {
        "name": _border.clean(name.strip(), 200),
        "preset": None if chosen is None else str.__str__(chosen),
        "ports": ports,
        "addresses": int(_number(value, "addresses", ADDRESSES, 1, _MOST_ADDRESSES, whole=True)),
        "ports_per": "host" if ports_per == "host" else "gateway",
        "hold_seconds": _number(value, "hold_seconds", hold_seconds, 0, _LONGEST),
        "drops_from": _number(value, "drops_from", first_drop(ports) if preset.searches else 1.0, 0.01, 1),
        "inside": _networks(value, "inside"),
        "outside": _networks(value, "outside"),
    }
    both = sorted({*gateway["inside"]} & {*gateway["outside"]})
    if both:
        raise ValueError(f"{both[0]} is both inside and outside")
    return gateway


def _number(
    value: Mapping[Any, Any], name: str, default: float, least: float, most: float, *, whole: bool = False
) -> float:
    """Variables of INI inventories and of the command line may be texts."""
    given = value.get(name, default)
    try:
        number = float(given) if isinstance(given, (int, float, str)) and not isinstance(given, bool) else -1.0
    except ValueError:
        number = -1.0
    if not least <= number <= most or (whole and number != int(number)):
        raise ValueError(f"{name} has to be a {'whole ' if whole else ''}number from {least:g} to {most:g}")
    return number


def _networks(value: Mapping[Any, Any], name: str) -> list[str]:
    given = value.get(name) or []
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ValueError(f"{name} has to be a list of networks, such as 203.0.113.0/24")
    try:
        Networks(texts)
    except ValueError as error:
        raise ValueError(f"{name} has to be a list of networks, such as 203.0.113.0/24: {error}") from None
    return [str.__str__(one) for one in texts]


def _plain(value: object) -> object:
    """Without the types with which ansible-core marks what it read."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value

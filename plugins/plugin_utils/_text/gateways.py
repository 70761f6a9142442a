# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT gateways in words. All of it is inferred, and says so."""

from __future__ import annotations

from ...module_utils._common.text import format_forecast_time, format_number, format_percent
from .._model import Gateway, GatewayDestination, GatewayGroup, GatewayHole
from .wording import format_hosts, format_names

_WHY = {
    "unreachable": "could not be reached",
    "failed": "failed before they were read",
    "counters": "were not read socket by socket",
    "left_out": "have more destinations than they returned",
    "namespaces": "have other network namespaces that were not observed",
}


def describe_gateway(gateway: Gateway) -> str:
    """What the sum is compared with."""
    each = "for each host and destination" if gateway["ports_per"] == "host" else "for each destination"
    of = f" of each of its {gateway['addresses']} addresses" if gateway["addresses"] > 1 else ""
    early = f", SYNs dropped from {format_percent(gateway['drops_from'])} on" if gateway["drops_from"] < 1 else ""
    held = f"held for {gateway['hold_seconds']:g} s after a connection is closed"
    return f"{gateway['ports']:,} ports {each}{of}, {held}{early}"


def describe_destination(group: GatewayGroup, one: GatewayDestination) -> str:
    """A finding in a sentence or two: which gateway, which destination, who uses most, and what is not in the sum."""
    gateway = group["gateway"]["name"]
    used = f"{one['held']:,} of {one['ports']:,} ports ({format_percent(one['saturation'])})"
    soon = outlook(one)
    if one["host"] is not None:
        text = f"Inferred from its sockets, {one['host']} has {used} at the NAT gateway {gateway}"
        text += f" towards {one['destination']}{soon}."
    else:
        text = f"Added up over {format_hosts(one['hosts'])}, the NAT gateway {gateway} holds {used}"
        text += f" towards {one['destination']}{soon}"
        first = one["shares"][0] if one["shares"] else None
        text += f"; {first['host']} has {format_percent(first['share'])} of them." if first else "."
    if one["syn_resent"]:
        text += f" {one['syn_resent']} connections hang there: their SYN was sent again."
    missing = [describe_hole(hole) for hole in group["holes"] if hole["at_most"] is None]
    if one["at_most"]:
        missing.append(f"at most {one['at_most']:,} ports of sockets that were not read one by one")
    return f"{text} Not in the sum: {'; '.join(missing)}." if missing and one["host"] is None else text


def is_short(one: GatewayDestination) -> bool:
    """Whether there is something to say of it."""
    return one["level"] != "ok" or one["forecast"]["seconds_to_critical"] is not None


def told_of(group: GatewayGroup) -> list[str]:
    """What goes with the numbers of a gateway: what it has, how far that is used, and what is not in the sum."""
    name, worst = group["gateway"]["name"], group["destinations"][0] if group["destinations"] else None
    text = f"{name}, {format_hosts(group['hosts'])}: {describe_gateway(group['gateway'])}."
    if worst and not is_short(worst):
        text += f" No destination has more than {format_percent(worst['saturation'])} of them, {worst['destination']}."
    lines = [text]
    if group["holes"]:
        lines.append(f"Not in the sum of {name}: {'; '.join(map(describe_hole, group['holes']))}.")
    if group["differing"]:
        names = format_names(group["differing"], 3)
        lines.append(f"The inventory says something else of {name} for {names}; what it says for most hosts counts.")
    return lines


def outlook(one: GatewayDestination) -> str:
    """What comes, where there is something to fear."""
    forecast = one["forecast"]
    for what in ("exhausted", "critical"):
        seconds = forecast["seconds_to_exhausted"] if what == "exhausted" else forecast["seconds_to_critical"]
        if seconds:
            between = forecast["exhausted_between"] if what == "exhausted" else forecast["critical_between"]
            rate = format_number(forecast["rate"])
            return f", at {rate}/s {what} in {format_forecast_time(seconds, between)}"
    return ""


def describe_hole(hole: GatewayHole) -> str:
    bound = "" if hole["at_most"] is None else f", at most {hole['at_most']:,} ports"
    return f"{format_hosts(hole['hosts'])} that {_WHY[hole['why']]}{bound} ({format_names(hole['names'], 3)})"


def remedy(gateway: Gateway) -> str:
    """A wider range or reuse at the hosts only brings them to the gateway's limit sooner."""
    more = "more ports for each host" if gateway["ports_per"] == "host" else "more addresses"
    return (
        f"Let the clients keep their connections (HTTP keep-alive, a pool), give the gateway {more}, or reach the "
        "destination without it (a private endpoint, another gateway for some hosts). No sysctl of the hosts helps."
    )

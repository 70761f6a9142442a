# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT gateways that nobody can read, added up from what the hosts behind them have. No I/O, no clock.

A gateway holds a port for each live connection, and for each closed one until its hold time is over. The hosts know
both: their sockets in TIME_WAIT tell how many were closed when. What is older than they remember is taken to have gone
on as at the end of what they do. docs/nat.md says what this misses.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...module_utils._common.text import format_endpoint
from ...module_utils._usage import pools
from ...module_utils._usage.forecast import forecast
from ...module_utils._usage.options import Thresholds
from ...module_utils._usage.outside import STEP_SHIFT, STEPS
from ...module_utils._usage.places import places
from ...module_utils._usage.waiting import Waiting
from .._gateway import capacity
from .._model import (
    FindingGroup,
    Gateway,
    GatewayDestination,
    GatewayGroup,
    GatewayHole,
    GatewayShare,
    OutsideDestination,
    Severity,
    Usage,
)
from .._text.gateways import describe_destination, remedy
from .._text.wording import natural
from .host import LEVELS, Host

# Saturation from which on a gateway is at a level, or this share of that from which on it drops SYNs, if that is less.
WARNING, CRITICAL, _NEARLY = 0.5, 0.8, 0.9
# Of destinations, all of which one can tell at once that they are far from any level, only so many are worked out.
_ALWAYS, _WORTH_IT = 50, 0.1
LISTED, SHARES, _EXAMPLES = 100, 10, 3
_STEP_SECONDS = (1 << STEP_SHIFT) / 1000
# Nobody remembers longer; whatever a host says.
_MOST_STEPS = 1000

_Key = tuple[str, int, str | None]
_Part = tuple[str, OutsideDestination]


@dataclass
class _Members:
    """The hosts behind a gateway, as they were read. parts: by destination, and by host where it has its own ports."""

    gateways: list[tuple[str, Gateway]] = field(default_factory=list)
    parts: dict[_Key, list[_Part]] = field(default_factory=dict)
    holes: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def leave_out(self, why: str, host: str, sockets: int | None) -> None:
        before = self.holes.setdefault(why, {}).get(host, 0)
        self.holes[why][host] = None if sockets is None or before is None else before + sockets


def add_up(hosts: Iterable[Host]) -> list[GatewayGroup]:
    """One group for each gateway, the worst first."""
    every: dict[str, _Members] = {}
    for host in hosts:
        usage = host.latest_usage
        gateway = (usage["gateway"] if usage else None) or host.gateway
        if gateway:
            members = every.setdefault(gateway["name"], _Members())
            members.gateways.append((host.name, gateway))
            _take(members, host, gateway, usage)
    groups = [_group(members) for members in every.values()]
    return sorted(groups, key=lambda group: (LEVELS.index(group["level"]), natural(group["gateway"]["name"])))


def _take(members: _Members, host: Host, gateway: Gateway, usage: Usage | None) -> None:
    if usage is None:
        members.leave_out("unreachable" if host.unreachable else "failed", host.name, None)
        return
    own = host.name if gateway["ports_per"] == "host" else None
    for place in places(usage):
        outside = place["outside"]
        if outside is None:
            if place["blocked_at_most"]:
                members.leave_out("counters", host.name, place["blocked_at_most"])
            continue
        for one in outside["destinations"]:
            members.parts.setdefault((one["address"], one["port"], own), []).append((host.name, one))
        if outside["left_out"]["destinations"]:
            members.leave_out("left_out", host.name, outside["left_out"]["most"])
    if any(one["what"] == "namespaces" and one["number"] for one in usage["not_observed"]):
        members.leave_out("namespaces", host.name, None)


def _group(members: _Members) -> GatewayGroup:
    """What most of its hosts say of a gateway counts."""
    said = [(name, _numbers(gateway)) for name, gateway in members.gateways]
    (usual, _number), *_others = Counter(numbers for _name, numbers in said).most_common()
    gateway = next(gateway for _name, gateway in members.gateways if _numbers(gateway) == usual)
    steps = max(1, round(gateway["hold_seconds"] / _STEP_SECONDS))
    found = [_destination(members, key, gateway, steps) for key in _worth_it(members.parts, gateway, steps)]
    found.sort(key=lambda one: (LEVELS.index(one["level"]), -one["saturation"], -one["forecast"]["saturation"]))
    return {
        "gateway": gateway,
        "level": found[0]["level"] if found else "ok" if not members.holes else "unknown",
        "hosts": len(members.gateways),
        "names": [name for name, _gateway in members.gateways],
        "differing": [name for name, numbers in said if numbers != usual],
        "destinations": found[:LISTED],
        "destinations_found": len(members.parts),
        "holes": [_hole(why, hosts, steps) for why, hosts in members.holes.items()],
    }


def _numbers(gateway: Gateway) -> tuple[object, ...]:
    """What has to be the same for all hosts behind a gateway."""
    held = gateway["hold_seconds"], gateway["drops_from"]
    return gateway["ports"], gateway["addresses"], gateway["ports_per"], held


def _older(steps: int) -> float:
    """By how much a gateway remembers longer than a host."""
    return max(1.0, steps / STEPS)


def _worth_it(parts: dict[_Key, list[_Part]], gateway: Gateway, steps: int) -> list[_Key]:
    sizes = {key: sum(max(0, one["live"]) + sum(one["closed"]) for _name, one in found) for key, found in parts.items()}
    least = _WORTH_IT * capacity(gateway) / _older(steps)
    return list({
        **dict.fromkeys(heapq.nlargest(_ALWAYS, sizes, key=sizes.__getitem__)),
        **{key: None for key, size in sizes.items() if size >= least},
    })  # fmt: skip


def _hole(why: str, hosts: dict[str, int | None], steps: int) -> GatewayHole:
    known = [sockets for sockets in hosts.values() if sockets is not None]
    bounded = len(known) == len(hosts)
    return {
        "why": why,  # type: ignore[typeddict-item]  # one of those of _take
        "hosts": len(hosts),
        "names": list(hosts),
        "at_most": round(sum(known) * _older(steps)) if bounded else None,
    }


def _destination(members: _Members, key: _Key, gateway: Gateway, steps: int) -> GatewayDestination:
    address, port, own = key
    ports, parts = capacity(gateway), members.parts[key]
    ages = [0.0] * steps
    held: dict[str, float] = {}
    for name, one in parts:
        closed = closed_within(one, steps)
        ages = [before + number for before, number in zip(ages, closed, strict=True)]
        held[name] = held.get(name, 0.0) + min(max(0, one["live"]), ports) + sum(closed)
    live = sum(max(0, one["live"]) for _name, one in parts)
    waiting = Waiting(dict(_ticks(ages)), steps << STEP_SHIFT, steps << STEP_SHIFT, STEP_SHIFT)
    total = sum(held.values())
    saturation, drops_from = min(1.0, total / ports), gateway["drops_from"]
    level = pools.level_of(saturation / drops_from, _levels(drops_from))
    critical = _levels(drops_from).critical
    foretold = forecast(waiting, live, math.ceil(ports * drops_from), critical, level == pools.EXHAUSTED)
    largest = heapq.nlargest(SHARES, held.items(), key=lambda pair: pair[1])
    return {
        "destination": format_endpoint(address, port),
        "protocol": "tcp",
        "host": own,
        "ports": ports,
        "held": round(total),
        "live": live,
        "syn_resent": sum(one["syn_resent"] for _name, one in parts),
        "at_most": round(sum(_not_read(members, held, own)) * _older(steps)),
        "saturation": round(saturation, 4),
        "level": level,  # type: ignore[typeddict-item]  # a text in module_utils
        "rate": round(waiting.current_rate(), 1),
        "trend": waiting.trend(foretold.rate),  # type: ignore[typeddict-item]  # the same
        "forecast": foretold._asdict(),  # type: ignore[typeddict-item]  # it has the fields of Forecast
        "hosts": len(held),
        "shares": [_share(name, number, total) for name, number in largest],
    }


def _levels(drops_from: float) -> Thresholds:
    """As shares of the ports that are taken before the first SYN is dropped."""
    critical = min(CRITICAL / drops_from, _NEARLY)
    return Thresholds(min(WARNING / drops_from, critical), critical)


def _share(name: str, held: float, total: float) -> GatewayShare:
    return {"host": name, "held": round(held), "share": round(held / total, 4) if total else 0.0}


def _not_read(members: _Members, held: dict[str, float], own: str | None) -> Iterator[int]:
    """Sockets that may be of this destination: of hosts that were not read, and of those that did not return it."""
    for name, sockets in members.holes.get("counters", {}).items():
        if own in (None, name):
            yield sockets or 0
    for name, sockets in members.holes.get("left_out", {}).items():
        if own is None and name not in held:
            yield sockets or 0


def closed_within(one: OutsideDestination, steps: int) -> list[float]:
    """Connections closed in each step of the hold time, the newest first, with what is older than a host remembers.

    A host cannot hold more ports than it has itself: one that is reused is the same port at the gateway.
    """
    known = min(_MOST_STEPS, max(1, round(one["known_seconds"] / _STEP_SECONDS)))
    ages: list[float] = [float(max(0, number)) for number in one["closed"][:known]]
    ages += [0.0] * (min(known, steps) - len(ages))
    if steps > known:
        oldest = ages[-max(1, known // 3) :]
        ages += [sum(oldest) / len(oldest)] * (steps - known)
    ages = ages[:steps]
    total, room = sum(ages), max(0, one["usable"] - one["live"])
    return ages if total <= room else [number * room / total for number in ages]


def _ticks(ages: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Whole numbers by what is left of the hold time, whose sum is right throughout."""
    total, told = 0.0, 0
    for age, number in enumerate(ages):
        total += number
        whole = round(total) - told
        told += whole
        if whole:
            yield len(ages) - 1 - age, whole


_SEVERITIES: dict[str, Severity] = {"exhausted": "critical", "critical": "critical", "warning": "warning"}


def gateway_findings(groups: Iterable[GatewayGroup]) -> list[FindingGroup]:
    """Each level once, with the hosts that use what is short."""
    found: dict[str, list[tuple[GatewayGroup, GatewayDestination]]] = {}
    for group in groups:
        for one in group["destinations"]:
            identifier = _identifier(one)
            if identifier:
                found.setdefault(identifier, []).append((group, one))
    return [_finding(identifier, pairs) for identifier, pairs in found.items()]


def _identifier(one: GatewayDestination) -> str | None:
    if one["level"] == "exhausted":
        return "nat-gateway-exhausted"
    if one["level"] == "critical":
        return "nat-gateway-critical"
    if one["level"] == "warning":
        return "nat-gateway-warning"
    return "nat-gateway-forecast" if one["forecast"]["seconds_to_critical"] is not None else None


def _finding(identifier: str, pairs: Sequence[tuple[GatewayGroup, GatewayDestination]]) -> FindingGroup:
    users: Counter[str] = Counter()
    for _group_of, one in pairs:
        for share in one["shares"]:
            users[share["host"]] += share["held"]
    return {
        "id": identifier,
        "severity": _SEVERITIES.get(pairs[0][1]["level"], "warning"),
        "hosts": max(len(users), max(one["hosts"] for _group_of, one in pairs)),
        "names": [name for name, _held in users.most_common()],
        "remedies": list(dict.fromkeys(remedy(group["gateway"]) for group, _one in pairs)),
        "examples": [
            {"host": one["shares"][0]["host"] if one["shares"] else "", "summary": describe_destination(group, one)}
            for group, one in pairs[:_EXAMPLES]
        ],
    }

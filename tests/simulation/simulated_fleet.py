# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets of any size, varied from results of real runs, as the callback hears of them.

recorded_results.json has what the modules and the filter returned on Linux 6.18 in private namespaces with 500 ports
(idle, then loaded step by step, then remediated), and what port_usage_info makes of the six kernels in recordings/.
A varied host has the usual 28,232 ports, other destinations and other rates; its level, findings and plan are made from
that by the code that makes them on real hosts.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortRange, PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import findings
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import pools as usage_pools
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.findings import Evidence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.nat import Nat
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import Thresholds
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet

Result = dict[str, Any]

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_results.json").read_text())
KERNELS = list(RECORDED["kernels"])

META = {
    "collection": "1.0.0",
    "ansible_core": "2.19.14",
    "python": "3.11.7",
    "playbooks": ["netops.ephemeral_ports.diagnose"],
    "started": "2026-11-22T19:02:10+00:00",
    "ended": "2026-11-22T19:02:51+00:00",
    "check_mode": False,
}
UPSTREAMS = [
    ("10.20.0.15", 443),
    ("10.20.0.16", 443),
    ("10.20.4.80", 8080),
    ("10.31.7.2", 5432),
    ("2001:db8:4::17", 443),
]
ROLES = ("web", "proxy", "worker", "api", "db")
THRESHOLDS = Thresholds(0.4, 0.5)
PORTS, WIDE = 28232, 55296

# How many in a hundred hosts are what.
MIXTURE = {
    "idle": 72,
    "busy": 11,
    "forecast": 4,
    "warning": 4,
    "critical": 3,
    "exhausted": 2,
    "unreachable": 3,
    "failed": 1,
}

REMEDIATION = "netops.ephemeral_ports.remediation"
ROLLOUT = "netops.ephemeral_ports.rollout_host"
UNREACHABLE = "Failed to connect to the host via ssh: ssh: connect to host {name} port 22: {why}"
FAILED = (
    "/etc/sysctl.d/99-zz-ephemeral-ports.conf would not survive the next boot: "
    "/etc/sysctl.d/zzz-tuning.conf:3 sets net.ipv4.tcp_tw_reuse to 0."
)


def make_fleet(number: int, seed: int = 0, remediate: bool = False) -> Fleet:
    """A fleet that has heard of all its hosts. remediate: loaded ones have been changed and looked at again."""
    fleet = Fleet()
    fleet.on_play()
    fleet.on_task("netops.ephemeral_ports.port_usage_info")
    for name, kind, chance in hosts(number, seed):
        tell(fleet, name, kind, chance, remediate)
    return fleet


def hosts(number: int, seed: int = 0) -> Iterator[tuple[str, str, random.Random]]:
    """Names and kinds of hosts: each kind that there is room for at least once, then as in MIXTURE."""
    chance = random.Random(seed)
    kinds = list(MIXTURE) if number >= 20 else ["exhausted", "warning", "busy", "unreachable"]
    for index in range(number):
        name = f"{ROLES[index % len(ROLES)]}{index // len(ROLES) + 1:03d}.example.net"
        kind = kinds[index] if index < len(kinds) else chance.choices(list(MIXTURE), list(MIXTURE.values()))[0]
        yield name, kind, random.Random(f"{seed} {index}")


def tell(fleet: Fleet, name: str, kind: str, chance: random.Random, remediate: bool) -> None:
    if kind == "unreachable":
        why = "Connection timed out" if chance.random() < 0.7 else "No route to host"
        fleet.on_failure(name, [], UNREACHABLE.format(name=name, why=why), unreachable=True)
        return
    usage = vary(kind, chance)
    if kind == "failed" or not remediate or usage["method"] == "sockstat":
        fleet.on_result(name, "netops.ephemeral_ports.port_usage_info", usage)
    if kind == "failed":
        fleet.on_failure(name, [], FAILED, unreachable=False)
    elif remediate and usage["method"] != "sockstat":
        plan = make_plan(usage, {})
        fleet.on_result(name, REMEDIATION, remediation(usage, plan, applied(plan)))
        fleet.on_result(name, "netops.ephemeral_ports.port_usage_info", afterwards(usage, plan))
        verdict = outcome(chance)
        if verdict["state"] == "rolled_back":
            fleet.on_result(name, "netops.ephemeral_ports.sysctl_dropin", rolled_back(plan))
        fleet.on_result(name, ROLLOUT, verdict)


def remediation(usage: Result | None, plan: Result | None = None, applied: Result | None = None) -> Result:
    steps = {"usage": usage, "plan": plan, "applied": applied}
    elsewhere: Result = {"namespaces": [], "namespaces_applied": None}
    return {"kind": "remediation", "changed": bool(applied), "check_mode": False, **steps, **elsewhere, "error": None}


def vary(kind: str, chance: random.Random) -> Result:
    """A result of port_usage_info."""
    if kind == "idle":
        usage = copy.deepcopy(RECORDED["usage"]["idle"])
        usage["blocked_at_most"] = chance.randint(3, 4000)
        usage["sysctls"]["net.ipv4.ip_local_port_range"] = "32768 60999"
        usage["port_range"] = {"low": 32768, "high": 60999, "size": PORTS, "reserved": 0, "held": None, "usable": PORTS}
        return dict(usage)
    if kind == "busy" and chance.random() < 0.4:
        return at_scale(RECORDED["kernels"][chance.choice(KERNELS)], chance, chance.uniform(0.2, 1.2))
    recorded = RECORDED["usage"]["forecast" if kind in ("busy", "failed") else kind]
    shares = {"busy": (0.05, 0.35), "forecast": (0.45, 0.62), "critical": (0.82, 1.5), "failed": (0.1, 0.5)}
    share = chance.uniform(*shares.get(kind, (0.92, 1.1)))
    return at_scale(recorded, chance, 1.0 if kind == "exhausted" else share)


def at_scale(recorded: Mapping[str, Any], chance: random.Random, share: float) -> Result:
    """The recorded result with 28,232 ports, towards other destinations, share times as loaded."""
    usage = dict(copy.deepcopy(recorded))
    factor = share * PORTS / usage["port_range"]["usable"]
    upstreams = chance.sample(UPSTREAMS, len(UPSTREAMS))
    usage["port_range"] = {"low": 32768, "high": 60999, "size": PORTS, "reserved": 0, "held": 0, "usable": PORTS}
    usage["sysctls"]["net.ipv4.ip_local_port_range"] = "32768 60999"
    pairs = zip(usage["pools"], upstreams, strict=False)
    usage["pools"] = [loaded(one, factor, upstream, chance) for one, upstream in pairs]
    usage["pools"].sort(key=lambda one: -one["saturation"])
    usage["level"] = usage["pools"][0]["level"] if usage["pools"] else "ok"
    current = (usage["kernel"], usage["sysctls"], PortRange(32768, 60999), PortSet(), PORTS, usage["pools"])
    usage["findings"] = findings.find(Evidence(*current, listening=(), overflows=0, nat=Nat(None), recycle_lines=[]))
    return usage


def loaded(one: Mapping[str, Any], factor: float, upstream: tuple[str, int], chance: random.Random) -> Result:
    """The destination with factor times its connections, closed over the last minute at a changing rate."""
    blocked = min(PORTS, round(one["blocked"] * factor))
    live = min(blocked, round(one["live"] * factor))
    saturation = round(blocked / PORTS, 4)
    average, change = (blocked - live) / 60, chance.uniform(0.5, 1.7)
    rates = (average * change * chance.uniform(0.8, 1.2), average * change, average)
    steady = (live + rates[1] * 60) / PORTS
    trend = "rising" if change > 1.2 else "falling" if change < 0.8 else "steady"

    def seconds_to(share: float) -> float | None:
        if saturation >= share:
            return 0.0
        return round((share - saturation) / (steady - saturation) * 60, 1) if steady >= share else None

    return {
        **one,
        "source": "2001:db8:4::2" if ":" in upstream[0] else f"10.20.{chance.randint(1, 9)}.{chance.randint(2, 250)}",
        "address": upstream[0],
        "port": upstream[1],
        "usable": PORTS,
        "blocked": blocked,
        "live": live,
        "time_wait": blocked - live,
        "hold_seconds": 60.0,
        "time_wait_seconds": 60.0,
        "longest_left_seconds": 59.0,
        "saturation": saturation,
        "level": usage_pools.level_of(saturation, THRESHOLDS),
        "rate": dict(zip(("last_1s", "last_10s", "last_60s"), (round(rate, 1) for rate in rates), strict=True)),
        "trend": trend,
        "forecast": course(rates[1], steady, seconds_to(THRESHOLDS.critical), seconds_to(1.0)),
    }


def course(rate: float, saturation: float, critical: float | None, exhausted: float | None) -> Result:
    return {
        "rate": round(rate, 1),
        "slope": 0.0,
        "saturation": round(saturation, 4),
        "seconds_to_critical": critical,
        "critical_between": None,
        "seconds_to_exhausted": exhausted,
        "exhausted_between": None,
    }


def applied(plan: Mapping[str, Any]) -> Result:
    """What sysctl_dropin returns for the plan."""
    settings = [
        {
            **RECORDED["remediated"]["changes"][0]["settings"][0],
            "key": one["key"],
            "wanted": one["wanted"],
            "before": one["current"],
            "after": one["wanted"],
            "status": "unchanged" if one["current"] == one["wanted"] else "changed",
        }
        for one in plan["dropin"]
    ]
    return {**RECORDED["remediated"]["changes"][0], "settings": settings}


def rolled_back(plan: Mapping[str, Any]) -> Result:
    change = applied(plan)
    for one in change["settings"]:
        one.update(before=one["after"], after=one["before"], wanted=None, status="restored")
    return {**change, "file": "removed"}


def afterwards(usage: Mapping[str, Any], plan: Mapping[str, Any]) -> Result:
    """The host after the change: a port is free again after a second, and there are twice as many."""
    after = dict(copy.deepcopy(usage))
    after["port_range"] = {"low": 10240, "high": 65535, "size": WIDE, "reserved": 0, "held": 0, "usable": WIDE}
    after["sysctls"].update({one["key"]: one["wanted"] for one in plan["dropin"]})
    for one in after["pools"]:
        blocked = one["live"] + round(one["rate"]["last_10s"])
        saturation = round(blocked / WIDE, 4)
        forecast = course(one["rate"]["last_10s"], saturation, None, None)
        level = usage_pools.level_of(saturation, THRESHOLDS)
        one.update(blocked=blocked, saturation=saturation, level=level, hold_seconds=1.0, forecast=forecast)
    after["level"] = after["pools"][0]["level"] if after["pools"] else "ok"
    after["findings"] = []
    return after


def outcome(chance: random.Random) -> Result:
    wave = chance.choices([1, 2, 3], [1, 4, 10])[0]
    checks = [
        {"id": "values-in-force", "status": "passed", "message": "All values are in force.", "evidence": {}},
        {"id": "listeners", "status": "passed", "message": "No service lost its listener.", "evidence": {}},
        {"id": "syn-retransmissions", "status": "passed", "message": "0.4 per second, 0.5 before.", "evidence": {}},
    ]
    if chance.random() > 0.04:
        gate = {"passed": True, "checks": checks}
        return {"kind": "outcome", "state": "changed", "reason": None, "wave": wave, "not_curable": None, "gate": gate}
    checks[2].update(status="failed", message="41 SYN per second are sent again, 0.5 before.")
    gate = {"passed": False, "checks": checks}
    reason = "syn-retransmissions: 41 SYN per second are sent again, 0.5 before."
    return {
        "kind": "outcome",
        "state": "rolled_back",
        "reason": reason,
        "wave": wave,
        "not_curable": None,
        "gate": gate,
    }

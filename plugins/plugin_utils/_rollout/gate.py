# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of a rollout: whether a host is as well after a change as it was before. Pure: no I/O, no clock.

Three looks at the host by port_usage_info decide: one early, one right before the change, one after the soak. What is
counted is compared with the host's own share before the change, per connection that it opened: a host that opens more
connections, now that it can, may have more that fail. What cannot be known is unknown, and does not fail the gate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...module_utils._kernel import sysctl
from ...module_utils._kernel.ports import PortSet, parse_ports, ports_in_force, range_ports
from ...module_utils._kernel.time_wait import TIME_WAIT_MS, reuse_in_force
from ...module_utils._text import format_destination

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"

OPENED = "ActiveOpens"

# Fewer connections than this tell nothing of a share, nor does a load that met fewer ports in TIME_WAIT.
_ENOUGH = 20
_SIGMAS = 3
# connect() tries one half of the ports first. Where that many can be taken over, it must meet one that can.
_HALF = 0.5

Look = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """How much worse is worse.

    growth: the share of failures before the change may grow by this factor, besides what is chance. floor: that many
    failures are never too many. ignored: ports of services that come and go. conflicts_allowed: the user has accepted
    that values will not survive a reboot.
    """

    growth: float = 2.0
    floor: int = 5
    ignored: PortSet = field(default_factory=PortSet)
    conflicts_allowed: bool = False


def read_limits(given: Mapping[str, Any]) -> Limits:
    """From growth, floor, ignore_listeners and conflicts_allowed; the times soak and baseline are only checked.

    Raises ValueError that names the option.
    """
    unknown = given.keys() - {"growth", "floor", "ignore_listeners", "conflicts_allowed", "soak", "baseline"}
    if unknown:
        raise ValueError(f"there is no option {', '.join(sorted(unknown))}")
    growth = _number("growth", given.get("growth", Limits.growth), least=1)
    floor = _whole("floor", given.get("floor", Limits.floor))
    _whole("soak", given.get("soak", 0))
    _number("baseline", given.get("baseline", 0), least=0)
    ports = given.get("ignore_listeners", [])
    if not isinstance(ports, (list, tuple)) or any(isinstance(port, bool) for port in ports):
        raise ValueError(f"ignore_listeners must be a list of ports, not {ports!r}")
    try:
        ignored = parse_ports(",".join(map(str, ports)))
    except ValueError as error:
        raise ValueError(f"ignore_listeners: {error}") from error
    return Limits(growth, floor, ignored, bool(given.get("conflicts_allowed")))


def _number(name: str, value: object, least: int) -> float:
    try:
        number = float(str(value))  # a boolean is none
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        raise ValueError(f"{name} must be a number of {least} or more, not {value!r}")
    return number


def _whole(name: str, value: object) -> int:
    number = _number(name, value, least=0)
    if number != int(number):
        raise ValueError(f"{name} must be a whole number, not {number:g}")
    return int(number)


@dataclass(frozen=True)
class Check:
    id: str
    status: str
    message: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Counted:
    """Something that must not grow. Of the counters a kernel need not have all."""

    id: str
    what: str
    counters: Sequence[str]


_COUNTED = (
    Counted("failed-connects", "connects failed", ("AttemptFails",)),
    Counted("syn-retransmissions", "SYNs were sent again", ("TCPSynRetrans",)),
    Counted("paws-drops", "packets were dropped by PAWS", ("PAWSPassive", "PAWSActive", "PAWSEstab", "PAWSTimewait")),
)


@dataclass(frozen=True)
class Window:
    """What was counted between two looks."""

    seconds: float
    opened: int
    count: int


def judge(
    first: Look, before: Look, applied: Look, after: Look, limits: Limits, beyond: str | None = None
) -> dict[str, Any]:
    """beyond: why sysctls do not cure this host, if so. Raises ValueError for what is no result of this collection."""
    try:
        checks = [
            _no_reboot(before, after),
            _values_in_force(applied, after),
            _boot_values(applied, limits),
            _listeners_kept(first, before, after, limits),
            *(_not_grown(counted, (first, before, after), limits) for counted in _COUNTED),
            _reuse_works((first, before, after), beyond),
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the looks are not results of port_usage_info with detail: full ({error!r})") from error
    passed = all(check.status != FAILED for check in checks)
    return {"passed": passed, "checks": [asdict(check) for check in checks]}


def _no_reboot(before: Look, after: Look) -> Check:
    evidence = {"uptime_before": before["uptime"], "uptime_after": after["uptime"]}
    if after["uptime"] < before["uptime"]:
        return Check("no-reboot", FAILED, "The host was restarted since the change.", evidence)
    return Check("no-reboot", PASSED, "The host has stayed up.", evidence)


def _values_in_force(applied: Look, after: Look) -> Check:
    """Whether the kernel still has what was set: something else may have set it again during the soak."""
    wanted = {one["key"]: one["wanted"] for one in applied.get("settings", []) if _is_set(one)}
    present = {key: after["sysctls"].get(key) for key in wanted}
    lost = [key for key, value in present.items() if value is not None and not sysctl.same(key, value, wanted[key])]
    evidence = {"wanted": wanted, "present": present}
    if lost:
        words = ", ".join(f"{key} is {present[key] or 'empty'}, not {wanted[key] or 'empty'}" for key in lost)
        return Check("values-in-force", FAILED, f"Something has set values again: {words}.", evidence)
    seen = sum(value is not None for value in present.values())
    if not seen:
        return Check("values-in-force", UNKNOWN, "No value was set that could be read again.", evidence)
    return Check("values-in-force", PASSED, f"The kernel has the values that were set ({seen} read again).", evidence)


def _boot_values(applied: Look, limits: Limits) -> Check:
    settings = [one for one in applied.get("settings", []) if _is_set(one)]
    known = [one for one in settings if one["boot_value"] is not None]
    lost = [one for one in known if not sysctl.same(one["key"], one["boot_value"], one["wanted"])]
    evidence = {one["key"]: {"boot_value": one["boot_value"], "boot_file": one["boot_file"]} for one in settings}
    if lost:
        words = ", ".join(f"{one['key']} (by {one['boot_file']})" for one in lost)
        status = UNKNOWN if limits.conflicts_allowed else FAILED
        accepted = ", which you have accepted (on_conflict)" if limits.conflicts_allowed else ""
        return Check("boot-values", status, f"The next boot would set another value: {words}{accepted}.", evidence)
    if not known or len(known) < len(settings):
        return Check("boot-values", UNKNOWN, "What the next boot sets is not known for every value.", evidence)
    return Check("boot-values", PASSED, "The next boot sets the same values.", evidence)


def _is_set(setting: Look) -> bool:
    return setting["wanted"] is not None and setting["status"] != "skipped"


def _listeners_kept(first: Look, before: Look, after: Look, limits: Limits) -> Check:
    """Services that both looks before the change have seen. UDP ports in the range belong to clients."""
    clients = _range_of(before) | _range_of(after)
    lost = {}
    for protocol, passed_over in (("tcp", limits.ignored), ("udp", limits.ignored | clients)):
        steady = set(first["listening_ports"][protocol]) & set(before["listening_ports"][protocol])
        gone = PortSet.of(steady - set(after["listening_ports"][protocol])) - passed_over
        if gone:
            lost[protocol] = str(gone)
    if lost:
        words = ", ".join(f"{protocol.upper()} {ports}" for protocol, ports in lost.items())
        return Check("listeners-kept", FAILED, f"Nobody listens any more on {words}.", {"lost": lost})
    return Check("listeners-kept", PASSED, "Every service that listened before still does.", {"lost": {}})


def _range_of(look: Look) -> PortSet:
    return range_ports(ports_in_force(look["sysctls"])[0])


def _not_grown(counted: Counted, looks: Sequence[Look], limits: Limits) -> Check:
    """Whether something that was counted has grown against the host's own share before the change."""
    known = [name for name in counted.counters if all(name in look["counters"] for look in looks)]
    if not known or any(OPENED not in look["counters"] for look in looks):
        return Check(counted.id, UNKNOWN, f"This kernel does not count how many {counted.what}.", {})
    then, now = _window(looks[0], looks[1], known), _window(looks[1], looks[2], known)
    if then is None or now is None:
        return Check(counted.id, UNKNOWN, "The counters began anew: the host or its network was restarted.", {})
    evidence: dict[str, Any] = {"before": asdict(then), "after": asdict(now), "allowed": None}
    told = f"{now.count} {counted.what} while {now.opened} were opened, before the change {then.count} of {then.opened}"
    if then.opened < _ENOUGH:
        return Check(counted.id, UNKNOWN, f"Too few connections before the change to compare: {told}.", evidence)
    evidence["allowed"] = allowed(then, now.opened, limits)
    if now.count > evidence["allowed"]:
        message = f"{told}; at most {evidence['allowed']} would be chance or as before."
        return Check(counted.id, FAILED, message, evidence)
    if now.opened < _ENOUGH:
        return Check(counted.id, UNKNOWN, f"Too few connections since the change to compare: {told}.", evidence)
    return Check(counted.id, PASSED, f"{told}.", evidence)


def allowed(then: Window, opened: int, limits: Limits) -> int:
    """How many of so many connections may fail before that is worse than before.

    Both counts are taken for random (Poisson): a short time before the change tells little, and so allows more.
    """
    ratio = opened / then.opened
    expected = then.count * ratio
    spread = math.sqrt(expected + ratio * ratio * (then.count + 1))
    return math.floor(limits.growth * expected + _SIGMAS * spread) + limits.floor


def _window(start: Look, end: Look, names: Sequence[str]) -> Window | None:
    """None where a counter, or the clock, went backwards."""
    seconds = end["uptime"] - start["uptime"]
    opened = end["counters"][OPENED] - start["counters"][OPENED]
    counts = [end["counters"][name] - start["counters"][name] for name in names]
    if seconds < 0 or min(opened, *counts) < 0:
        return None
    return Window(round(seconds, 2), opened, sum(counts))


def _reuse_works(looks: Sequence[Look], beyond: str | None) -> Check:
    """Whether ports were taken out of TIME_WAIT where connects must have met some that could be."""
    _first, before, after = looks
    reuse = reuse_in_force(after["kernel"], after["sysctls"])
    if not reuse.mode:
        return Check("reuse-works", UNKNOWN, "tcp_tw_reuse is not in force on this host.", {})
    window = None
    if all({"TWRecycled", OPENED} <= look["counters"].keys() for look in (before, after)):
        window = _window(before, after, ["TWRecycled"])
    if window is None:
        return Check("reuse-works", UNKNOWN, "The counter of ports taken over is missing, or began anew.", {})
    evidence: dict[str, Any] = {"taken_over": window.count, "seconds": window.seconds}
    if window.count:
        words = f"{window.count} ports were taken out of TIME_WAIT early in {window.seconds:.0f} s."
        return Check("reuse-works", PASSED, words, evidence)
    usable = after["port_range"]["usable"]
    crowded = [one for one in after["pools"] if _must_meet_some(one, usable, window.seconds)]
    if not crowded:
        return Check("reuse-works", UNKNOWN, "There were too few ports in TIME_WAIT to meet one.", evidence)
    towards = evidence["destination"] = format_destination(crowded[0])
    message = (
        f"No port towards {towards} was taken over, although {crowded[0]['reusable']} of {usable} could be: "
        "the other end may not use TCP timestamps, or the clients bind() before they connect()."
    )
    binds = any(finding["id"] == "bind-before-connect" for look in looks for finding in look["findings"])
    return Check("reuse-works", UNKNOWN if beyond or binds else FAILED, message, evidence)


def _must_meet_some(one: Look, usable: int, seconds: float) -> bool:
    effective = one["hold_seconds"] * 1000 < TIME_WAIT_MS
    crowded = usable > 0 and one["reusable"] >= usable * _HALF
    return effective and crowded and one["rate"]["last_1s"] * seconds >= _ENOUGH

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of a rollout: whether a host is as well after a change as it was before. Pure: no I/O, no clock.

Three usages of the host decide: an early one, one from right before the change, one from after the soak. What is
counted is compared with the host's own rate before the change, per connection that it opened: a host that opens more
connections, now that it can, may have more that fail. What cannot be known is unknown, and does not fail the gate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...module_utils._common.text import format_destination
from ...module_utils._kernel import sysctl
from ...module_utils._kernel.ports import (
    FIRST_HALF,
    PortRange,
    PortSet,
    parse_ports,
    ports_in_force,
    range_ports,
    union,
    usable_ports,
)
from ...module_utils._kernel.time_wait import reuse_in_force
from ...module_utils._usage.words import format_use
from .. import _border
from .._model import ApplyResult, Check, Gate, KeyResult, Pool, Usage

OPENED = "ActiveOpens"

# Fewer connections than this tell nothing of a rate, nor does a load that met fewer ports in TIME_WAIT.
_ENOUGH = 20
_SIGMAS = 3
# Lists of reserved ports can be long.
_VALUE, _MESSAGE = 200, 1_000


@dataclass(frozen=True)
class Limits:
    """How much worse is worse.

    growth: the failure rate before the change may grow by this factor, besides what is chance. floor: that many
    failures are never too many. ignored: ports of services that come and go. conflicts_allowed: the user has accepted
    that values will not survive a reboot. fewer_ports_allowed: or that a list leaves fewer usable ports.
    """

    growth: float = 2.0
    floor: int = 5
    ignored: PortSet = field(default_factory=PortSet)
    conflicts_allowed: bool = False
    fewer_ports_allowed: bool = False


def read_limits(given: Mapping[str, Any]) -> Limits:
    """From growth, floor, ignore_listeners and on_conflict; the times soak and baseline are only checked.

    Raises ValueError that names the option.
    """
    unknown = given.keys() - {"growth", "floor", "ignore_listeners", "on_conflict", "soak", "baseline"}
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
        ignored = parse_ports(",".join(map(str, ports)), lowest=1)
    except ValueError as error:
        raise ValueError(f"ignore_listeners: {error}") from error
    return Limits(growth, floor, ignored, given.get("on_conflict", "fail") != "fail")


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
    """What was counted between two usages."""

    seconds: float
    opened: int
    count: int


@dataclass(frozen=True)
class Usages:
    """Of one host: before everything, right before the change, and after the soak."""

    first: Usage
    before: Usage
    after: Usage

    def all(self) -> tuple[Usage, Usage, Usage]:
        return self.first, self.before, self.after


def judge(usages: Usages, applied: ApplyResult | None, limits: Limits, not_curable: str | None = None) -> Gate:
    """applied: None where nothing was set. not_curable: why sysctls do not cure this host, if so."""
    settings = [one for one in applied["settings"] if _is_set(one)] if applied else []
    checks = [
        _no_reboot(usages.before, usages.after),
        _values_in_force(settings, usages.after),
        _boot_values(settings, limits),
        _listeners_kept(usages, limits),
        *(_not_grown(counted, usages, limits) for counted in _COUNTED),
        _reuse_works(usages, not_curable),
        _usable_ports(usages, limits),
        _connects_possible(usages, not_curable),
    ]
    return {"passed": all(check["status"] != "failed" for check in checks), "checks": checks}


def _check(name: str, status: Literal["passed", "failed", "unknown"], message: str, evidence: dict[str, Any]) -> Check:
    return {"id": name, "status": status, "message": _border.clean(message, _MESSAGE), "evidence": evidence}


def _is_set(setting: KeyResult) -> bool:
    return setting["wanted"] is not None and setting["status"] != "skipped"


def _no_reboot(before: Usage, after: Usage) -> Check:
    evidence = {"uptime_before": before["uptime"], "uptime_after": after["uptime"]}
    if after["uptime"] < before["uptime"]:
        return _check("no-reboot", "failed", "The host was rebooted after the change.", evidence)
    return _check("no-reboot", "passed", "The host was not rebooted.", evidence)


def _values_in_force(settings: Sequence[KeyResult], after: Usage) -> Check:
    """Whether the kernel still has what was set: something else may have set it again during the soak."""
    wanted = {one["key"]: one["wanted"] or "" for one in settings}
    current = {key: after["sysctls"].get(key) for key in wanted}
    lost = [key for key, value in current.items() if value is not None and not sysctl.same(key, value, wanted[key])]
    evidence = {"wanted": _short(wanted), "current": _short(current)}
    if lost:
        words = ", ".join(f"{key} is {_named(current[key])}, not {_named(wanted[key])}" for key in lost)
        return _check("values-in-force", "failed", f"Values were overwritten after the change: {words}.", evidence)
    read = sum(value is not None for value in current.values())
    if not read:
        return _check("values-in-force", "unknown", "No value was set that can be read.", evidence)
    return _check("values-in-force", "passed", f"The kernel has the values that were set ({read} read).", evidence)


def _short(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: None if value is None else _border.clean(value, _VALUE) for key, value in values.items()}


def _named(value: str | None) -> str:
    return _border.clean(value, _VALUE) if value else "empty"


def _boot_values(settings: Sequence[KeyResult], limits: Limits) -> Check:
    known = {one["key"]: one["boot_value"] for one in settings if one["boot_value"] is not None}
    lost = [one for one in settings if one["key"] in known and not _is_same_at_boot(one)]
    evidence: dict[str, Any] = {
        one["key"]: {**_short({"boot_value": one["boot_value"]}), "boot_file": one["boot_file"]} for one in settings
    }
    if lost:
        words = ", ".join(f"{one['key']} (by {one['boot_file']}:{one['boot_line']})" for one in lost)
        accepted = ", which you have accepted (on_conflict)" if limits.conflicts_allowed else ""
        message = f"The next boot would set another value: {words}{accepted}."
        return _check("boot-values", "unknown" if limits.conflicts_allowed else "failed", message, evidence)
    if not known or len(known) < len(settings):
        return _check("boot-values", "unknown", "What the next boot sets is not known for every value.", evidence)
    return _check("boot-values", "passed", "The next boot sets the same values.", evidence)


def _is_same_at_boot(setting: KeyResult) -> bool:
    return sysctl.same(setting["key"], setting["boot_value"] or "", setting["wanted"] or "")


def _listeners_kept(usages: Usages, limits: Limits) -> Check:
    """Services that both usages before the change have. UDP ports in the range belong to clients."""
    listening = [usage["listening_ports"] for usage in usages.all()]
    first, before, after = ({"tcp": set(one["tcp"]), "udp": set(one["udp"])} if one else None for one in listening)
    if first is None or before is None or after is None or listening[-1] is None:
        return _check("listeners-kept", "unknown", "Listening sockets were not read.", {})
    after["udp"].update(listening[-1]["udp_clients"])  # which they are taken for depends on how many there are
    clients = _range_of(usages.before) | _range_of(usages.after)
    lost = {}
    for protocol, ignored in (("tcp", limits.ignored), ("udp", limits.ignored | clients)):
        gone = PortSet.of((first[protocol] & before[protocol]) - after[protocol]) - ignored
        if gone:
            lost[protocol] = str(gone)
    if lost:
        words = ", ".join(f"{protocol.upper()} {ports}" for protocol, ports in lost.items())
        return _check("listeners-kept", "failed", f"Listener gone: {words}.", {"lost": _short(lost)})
    return _check("listeners-kept", "passed", "Every service that listened before still does.", {"lost": {}})


def _range_of(usage: Usage) -> PortSet:
    return range_ports(ports_in_force(usage["sysctls"])[0])


def _not_grown(counted: Counted, usages: Usages, limits: Limits) -> Check:
    """Whether something that was counted has grown against the host's own rate before the change."""
    known = [name for name in counted.counters if all(name in usage["counters"] for usage in usages.all())]
    if not known or any(OPENED not in usage["counters"] for usage in usages.all()):
        return _check(counted.id, "unknown", f"This kernel does not count how many {counted.what}.", {})
    then, now = _window(usages.first, usages.before, known), _window(usages.before, usages.after, known)
    if then is None or now is None:
        return _check(counted.id, "unknown", "The counters were reset: the host or its network was restarted.", {})
    evidence: dict[str, Any] = {"before": asdict(then), "after": asdict(now), "allowed": None}
    told = f"{now.count} {counted.what} while {now.opened} were opened, before the change {then.count} of {then.opened}"
    if then.opened < _ENOUGH:
        return _check(counted.id, "unknown", f"Too few connections before the change to compare: {told}.", evidence)
    evidence["allowed"] = allowed(then, now.opened, limits)
    if now.count > evidence["allowed"]:
        message = f"{told}; at most {evidence['allowed']} would be chance or as before."
        return _check(counted.id, "failed", message, evidence)
    if now.opened < _ENOUGH:
        return _check(counted.id, "unknown", f"Too few connections since the change to compare: {told}.", evidence)
    return _check(counted.id, "passed", f"{told}.", evidence)


def allowed(then: Window, opened: int, limits: Limits) -> int:
    """How many of so many connections may fail before that is worse than before.

    Both counts are taken for random (Poisson): a short time before the change tells little, and so allows more.
    """
    ratio = opened / then.opened
    expected = then.count * ratio
    spread = math.sqrt(expected + ratio * ratio * (then.count + 1))
    return math.floor(limits.growth * expected + _SIGMAS * spread) + limits.floor


def _window(start: Usage, end: Usage, names: Sequence[str]) -> Window | None:
    """None where a counter, or the clock, went backwards."""
    seconds = end["uptime"] - start["uptime"]
    opened = end["counters"][OPENED] - start["counters"][OPENED]
    counts = [end["counters"][name] - start["counters"][name] for name in names]
    if seconds < 0 or min(opened, *counts) < 0:
        return None
    return Window(round(seconds, 2), opened, sum(counts))


def _reuse_works(usages: Usages, not_curable: str | None) -> Check:
    """Whether ports were reused out of TIME_WAIT where connects must have met some that could be."""
    before, after = usages.before, usages.after
    reuse = reuse_in_force(after["kernel"], after["sysctls"])
    if not reuse.mode:
        return _check("reuse-works", "unknown", "tcp_tw_reuse is not in force on this host.", {})
    window = None
    if all({"TWRecycled", OPENED} <= usage["counters"].keys() for usage in (before, after)):
        window = _window(before, after, ["TWRecycled"])
    if window is None:
        return _check("reuse-works", "unknown", "The counter of reused ports is missing, or was reset.", {})
    evidence: dict[str, Any] = {"reused": window.count, "seconds": window.seconds}
    if window.count:
        words = f"{window.count} ports were reused out of TIME_WAIT in {window.seconds:.0f} s."
        return _check("reuse-works", "passed", words, evidence)
    failing = next((one for one in after["findings"] if one["id"] == "reuse-fails"), None)
    if failing:
        evidence["destination"] = failing["destination"]
        return _check("reuse-works", "unknown" if not_curable else "failed", failing["summary"], evidence)
    usable = after["port_range"]["usable"]
    crowded = [pool for pool in after["pools"] if _must_meet_some(pool, usable, window.seconds)]
    if not crowded:
        return _check("reuse-works", "unknown", "Not enough TIME_WAIT sockets to tell.", evidence)
    towards = evidence["destination"] = format_destination(crowded[0])
    message = (
        f"No port towards {towards} was reused, although {crowded[0]['reusable']} of {usable} could be: "
        "the other end may not use TCP timestamps, or the clients bind() before they connect()."
    )
    binds = any(finding["id"] == "bind-before-connect" for usage in usages.all() for finding in usage["findings"])
    return _check("reuse-works", "unknown" if not_curable or binds else "failed", message, evidence)


def _usable_ports(usages: Usages, limits: Limits) -> Check:
    """Whether connect() can choose from as many ports as before. Those of others that are reserved now do not count."""
    before, after = (_configured(usage) for usage in (usages.before, usages.after))
    two_pass = usages.after["kernel"]["two_pass_port_search"]["supported"]
    usable_before, usable = (usable_ports(*one, two_pass) for one in (before, after))
    evidence: dict[str, Any] = {"usable_before": usable_before, "usable": usable}
    lost = (range_ports(before[0]) - before[1]) - (range_ports(after[0]) - after[1])
    missed = usable_before - usable - len(lost & _of_others(usages.before))
    if missed > 0 and usable < usable_before:
        message = f"Fewer ports can be used than before the change: {usable}, not {usable_before}"
        accepted = f"{message}, which you have accepted (fewer_ports)."
        status: Literal["unknown", "failed"] = "unknown" if limits.fewer_ports_allowed and usable else "failed"
        return _check("usable-ports", status, accepted if status == "unknown" else f"{message}.", evidence)
    return _check("usable-ports", "passed", f"{usable} ports can be used, before the change {usable_before}.", evidence)


def _configured(usage: Usage) -> tuple[PortRange, PortSet]:
    return ports_in_force(usage["sysctls"])


def _of_others(usage: Usage) -> PortSet:
    listening = usage["listening_ports"]
    claimed = [parse_ports(claim["ports"]) for claim in usage["claims"] or ()]
    in_files = parse_ports(usage["reserved_in_files"])
    return union([PortSet.of([*listening["tcp"], *listening["udp"]] if listening else ()), in_files, *claimed])


def _connects_possible(usages: Usages, not_curable: str | None) -> Check:
    """Whether connections get a local port after the change: as the kernel says where it was asked, else as counted."""
    after = usages.after
    level, worst = after["level"], after["pools"][0] if after["pools"] else None
    evidence: dict[str, Any] = {"level": level, "probe": after["probe"], "destination": None}
    if level == "unknown":
        message = "Whether ports are left could not be counted, and the kernel was not asked."
        return _check("connects-possible", "unknown", message, evidence)
    if level != "exhausted":
        return _check("connects-possible", "passed", "A new connection gets a local port.", evidence)
    evidence["destination"] = format_destination(worst) if worst else None
    left = f"No local port is left{f' {format_use(worst)}' if worst else ''}"
    if usages.before["level"] != "exhausted":
        message = f"{left}, and before the change one was."
        return _check("connects-possible", "failed", message, evidence)
    message = f"{left}: the change did not help."
    return _check("connects-possible", "unknown" if not_curable else "failed", message, evidence)


def _must_meet_some(pool: Pool, usable: int, seconds: float) -> bool:
    effective = pool["hold_seconds"] < pool["time_wait_seconds"]
    # Where that many can be reused, connect() must meet one.
    crowded = usable > 0 and pool["reusable"] >= usable * FIRST_HALF
    return effective and crowded and pool["rate"]["last_1s"] * seconds >= _ENOUGH

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say a usage in words: the verdict first, then the numbers, then why, then what to do next."""

from collections import Counter
from typing import TYPE_CHECKING, List, Sequence

from .._common.layout import labelled, table
from .._common.text import (
    format_at_most,
    format_destination,
    format_duration,
    format_forecast_time,
    format_number,
    format_percent,
    format_some,
    live_of,
    place_name,
    recent_rate,
)
from .._kernel.keys import PORT_RANGE, TW_REUSE, TW_TIMEOUT
from .._kernel.ports import PortRange
from .places import places, worst_place
from .slow_half import slow_half

if TYPE_CHECKING:
    from ...plugin_utils._model import Finding, NotObserved, Pool, Translation, Usage

DESTINATIONS_SHOWN = 5
NAMESPACES_SHOWN = 10
# Ports that others hold, as a share of the range.
_WORTH_A_WORD = 0.1

# Sockets in TIME_WAIT at services are worth a word from this share of the usable ports on.
_MANY_AT_SERVICES = 0.1

# Rates that are told apart: by this factor, and by so many connections per second.
_CHANGE, _SMALL_CHANGE = 1.25, 2.0

# Findings about the current load of a destination: verdict and table are about nothing else.
TOLD_BY_VERDICT = ("destination-exhausted", "destination-critical", "destination-warning", "udp-ports")
# Those about ports that this host gives to others: no sysctl of this collection helps.
_OF_NAT = ("snat-exhausted", "snat-critical", "snat-warning")

# The command that changes nothing yet, for one host. Its lines are pasted, so none may change anything by itself.
HOST_OF_COMMAND = "-i INVENTORY -l HOST"
WHAT_WOULD_CHANGE = ("ansible-playbook netops.ephemeral_ports.remediate --check --diff \\", f"  {HOST_OF_COMMAND}")

_WHERE_SET = "where it is made, as by --sysctl of podman and docker or securityContext.sysctls of a pod"

_WHY_NOT = {
    "time": " (it would take too long)",
    "not_allowed": " (that needs root)",
    "not_supported": " (this kernel does not tell)",
}

# How an unknown level gets known, by what the kernel was asked.
_ASK = {
    "hidden": "Observe as root with CAP_SYS_ADMIN (become: true), so that the kernel tells.",
    "not_allowed": "Observe as root with CAP_NET_ADMIN (become: true), so that the kernel tells.",
    "never": "Let the kernel be asked (timewait_diagnose_probe: auto).",
}


def describe_usage(usage: "Usage") -> List[str]:
    """Lines for the result of port_usage_info: the worst network namespace first, then others of which there is more
    to say than that they are well.
    """
    first, *rest = told_places(usage)
    lines = [verdict(first, beside_others=bool(rest)), *_numbers(first)]
    for one in rest:
        lines += [verdict(one, beside_others=True), *_numbers(one)]
    if at_services(usage):
        lines += labelled("Note", at_services(usage))
    if usage["complete"] is False:
        lines += labelled("Note", "Sockets changed during the dump; the numbers are slightly off.")
    lines += labelled("Scope", scope(usage))
    return lines + next_steps(first)


def told_places(usage: "Usage") -> "List[Usage]":
    """The worst, and those that are not ok or have findings; the one of the module always."""
    worst, every = worst_place(usage), places(usage)
    told = [one for one in every if one["namespace"]["own"] or one["level"] != "ok" or one["findings"]]
    return [worst, *(one for one in told[:NAMESPACES_SHOWN] if one["namespace"] != worst["namespace"])]


def _numbers(usage: "Usage") -> List[str]:
    """What follows the verdict on a network namespace."""
    pools, ports = usage["pools"], usage["port_range"]
    lines = pool_table(pools)
    if pools:
        lines += labelled("Why", reason(usage, pools[0]))
        lines += labelled("Rate", outlook(pools[0])) if pools[0]["kind"] != "udp" else []
        lines += labelled("Who", f"{'; '.join(live_of(pools[0]))}.") if pools[0]["live_by"] else []
    lines += labelled("Asked", what_was_asked(usage)) if what_was_asked(usage) else []
    for finding in notable(usage):
        lines += labelled(
            finding["severity"].capitalize(), f"{finding['summary']} {finding['remedy']} ({finding['id']})"
        )
    if not usage["namespace"]["own"] and usage["sysctls"].get(PORT_RANGE) is None:
        assumed = "only root with CAP_SYS_ADMIN can read its sysctls, so the kernel's default is assumed"
        return lines + labelled("Ports", f"{ports['low']}-{ports['high']}: {assumed}.")
    held = "" if ports["held"] is None else f", {ports['held']} held by bound sockets"
    return lines + labelled(
        "Ports",
        f"{ports['low']}-{ports['high']}, {ports['usable']} of {ports['size']} usable "
        f"({ports['reserved']} reserved{held}).",
    )


def at_services(usage: "Usage") -> str:
    """That many sockets in TIME_WAIT are none to worry about, if there are many."""
    number = usage["time_wait_at_services"] or 0
    if number < usage["port_range"]["usable"] * _MANY_AT_SERVICES or not number:
        return ""
    return f"{number} more sockets in TIME_WAIT are at services of this host. They block no port."


def scope(usage: "Usage") -> str:
    """What was observed, and what was not: a level holds for that."""
    how = "the kernel's counters" if usage["method"] == "sockstat" else "its sockets"
    left = "; ".join(_not_observed(one, usage["namespaces_observed"]) for one in usage["not_observed"])
    udp = "" if any(one["what"] == "udp" for one in usage["not_observed"]) else " and UDP"
    number = usage["namespaces_observed"]
    besides = f", and in {format_some(number, 'other network namespace')}" if number else ""
    return f"TCP{udp} in this network namespace, by {how}{besides}." + (f" Not observed: {left}." if left else "")


def _not_observed(one: "NotObserved", namespaces_observed: int) -> str:
    number, why = one["number"] or 0, one["why"]
    if namespaces_observed and (one["what"], why) == ("namespaces", "not_allowed"):
        # Some of them were observed, from outside.
        return f"what only root with CAP_SYS_ADMIN can read of at least {number} of the others"
    least, why_not = "" if why == "elsewhere" else "at least ", _WHY_NOT.get(why, "")
    texts = {
        "sockets": "its sockets one by one",
        "udp": f"UDP ({format_some(number, 'socket')})" if number else "UDP",
        "destinations": f"what the kernel says of {format_some(number, 'destination')}{why_not}",
        "nat": f"the ports of NAT{why_not}; {number} connections are tracked",
        "namespaces": f"{least}{format_some(number, 'other network namespace')} of this host"
        if number
        else f"other network namespaces of this host, if there are any{why_not}",
    }
    return texts.get(one["what"], one["what"])


def verdict(usage: "Usage", beside_others: bool = False) -> str:
    """One line on a network namespace, with its name where it is not that of the module, or stands beside others."""
    level, _colon, text = _verdict(usage).partition(": ")
    name = place_name(usage["namespace"]) or ("this network namespace" if beside_others else "")
    return f"{level} in {name}: {text}" if name else f"{level}: {text}"


def _verdict(usage: "Usage") -> str:
    level, ports, pools = usage["level"], usage["port_range"], usage["pools"]
    usable = ports["usable"]
    if level == "exhausted" and not usable:
        held = "held" if not ports["held"] else f"held by bound sockets ({ports['held']} of {ports['size']})"
        return f"EXHAUSTED: every port of the range is reserved or {held}."
    if not pools:
        if level == "critical":
            return "CRITICAL: one local port is left at most, and not every search finds it."
        if usage["method"] == "sockstat":
            most = f"more than {usage['blocked_at_most']}" if usage["blocked_at_most"] else "any"
            return f"OK: no destination blocks {most} of {usable} local ports."
        return f"{level.upper()}: no connection blocks any of the {usable} usable ports."
    worst = pools[0]
    use, number = format_use(worst), f"{worst['blocked']} of {worst['usable']}"
    if worst["nat"]:
        what = "connections are dropped, " if level == "exhausted" else ""
        return f"{level.upper()}: {what}NAT has given {number} ports {use} ({format_percent(worst['saturation'])})."
    if level == "unknown":
        return f"UNKNOWN: whether a local port is left {use} cannot be counted, and the kernel was not asked."
    if level != "exhausted":
        return f"{level.upper()}: {number} local ports {use} are blocked ({format_percent(worst['saturation'])})."
    if worst["blocked"] < worst["usable"]:
        return f"EXHAUSTED: no local port is left {use}, the kernel says; its own connections block {number}."
    others = ports["size"] - ports["reserved"] - worst["usable"] if worst["kind"] == "connect" else 0
    if others >= ports["size"] * _WORTH_A_WORD:
        number = f"{worst['blocked']} are blocked, {others} held by bound sockets"
        return f"EXHAUSTED: no local port is left {use}: {number}."
    return f"EXHAUSTED: no local port is left {use}: {number} are blocked."


def what_was_asked(usage: "Usage") -> str:
    """What the kernel said about the worst destination, or why it was not asked although that would have told more."""
    if usage["level"] == "unknown" and usage["probe"] == "not_allowed":
        return "nothing: only root with CAP_NET_ADMIN may ask the kernel (become: true)."
    answer = usage["pools"][0]["probe"] if usage["pools"] else None
    if not answer:
        return ""
    what = "a dry connect" if usage["pools"][0]["kind"] == "connect" else "a bind()"
    time = format_duration(answer["search_us"]) if answer["search_us"] is not None else ""
    if not answer["errno"]:
        return f"{what} found port {answer['port']} in {time}."
    if answer["lacks"] == "port":
        return f"{what} searched for {time} and found no port (errno {answer['errno']})."
    missing = {"address": ", for want of a local address", "route": ", for want of a route"}
    return f"{what} failed with errno {answer['errno']}{missing.get(answer['lacks'] or '', '')}."


def outlook(worst: "Pool") -> str:
    """How fast connections to the worst destination are closed, and what comes of it."""
    seconds = 10 if worst["hold_seconds"] >= 10 else 1
    forecast = worst["forecast"]
    slope = forecast["slope"]
    rising = f" by {format_number(slope)} each second" if worst["trend"] == "rising" and slope > 0 else ""
    trend = f", {worst['trend']}{rising}" if worst["trend"] else ""
    recent = recent_rate(worst)
    if worst["level"] != "exhausted" and _has_changed(recent, forecast["rate"]):
        trend += f", {format_number(forecast['rate'])} now"
    rate = f"{format_number(recent)} connections/s closed over the last {seconds} s{trend}"
    if worst["level"] == "exhausted":
        return f"{rate}. Attempts that fail leave nothing to count, so more may be wanted than this rate."
    critical, exhausted = forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]
    at_that = "if this goes on," if slope else "at that rate"
    if exhausted:
        soon = f"critical in {format_forecast_time(critical, forecast['critical_between'])}, " if critical else ""
        late = format_forecast_time(exhausted, forecast["exhausted_between"])
        return f"{rate}; {at_that} {soon}exhausted in {late}."
    end = format_percent(forecast["saturation"])
    if critical:
        late = format_forecast_time(critical, forecast["critical_between"])
        return f"{rate}; {at_that} critical in {late}, with {end} at steady state."
    if exhausted is None:
        return f"{rate}; at that rate {end} of the ports are blocked at steady state.{none_closed(worst)}"
    return f"{rate}."


def _has_changed(recent: float, now: float) -> bool:
    """Whether what comes of it follows another rate, clearly."""
    return abs(now - recent) >= _SMALL_CHANGE and not recent <= now * _CHANGE <= recent * _CHANGE**2


def none_closed(pool: "Pool") -> str:
    """What it means that none was closed lately: the kernel tells what is left of TIME_WAIT, not its age."""
    left, lasts = pool["longest_left_seconds"], pool["time_wait_seconds"]
    if left is None or recent_rate(pool) or lasts - left < 1:
        return ""
    return (
        f" No socket in TIME_WAIT has more than {left:.0f} s left: none was closed for {lasts - left:.0f} s, or "
        f"TIME_WAIT is shorter here than {lasts:g} s."
    )


def notable(usage: "Usage") -> "List[Finding]":
    """The findings that neither verdict nor table have told already."""
    return [finding for finding in usage["findings"] if finding["id"] not in (*TOLD_BY_VERDICT, *_OF_NAT)]


def pool_table(pools: "Sequence[Pool]") -> List[str]:
    if not pools:
        return []
    shown = pools[:DESTINATIONS_SHOWN]
    rows: List[Sequence[object]] = [("destination", "blocked", "usable", "TIME_WAIT", "live", "saturation", "level")]
    rows += [
        (
            name,
            *(pool["blocked"], pool["usable"], pool["time_wait"], pool["live"]),
            *(format_percent(pool["saturation"]), pool["level"]),
        )
        for name, pool in zip(names(shown), shown)
    ]
    lines = table(rows, left=(0, 6))
    if len(pools) > len(shown):
        lines.append(f"  and {len(pools) - len(shown)} more, less loaded")
    return lines


def names(pools: "Sequence[Pool]") -> List[str]:
    """Each destination by address and port; with its source where that alone tells two apart."""
    places = [format_destination(pool) for pool in pools]
    return [
        f"{name} from {pool['source']}" if places.count(name) > 1 or pool["kind"] == "bind" else name
        for name, pool in zip(places, pools)
    ]


def reason(usage: "Usage", worst: "Pool") -> str:
    """Why the ports of the worst destination are blocked, and what rate that leaves."""
    port_range = PortRange(usage["port_range"]["low"], usage["port_range"]["high"])
    slow = slow_half(worst, port_range, usage["kernel"]["two_pass_port_search"]["supported"])
    if worst["kind"] == "bind":
        return (
            f"Clients there call bind() before connect(). A port that is chosen so serves one connection: "
            f"{worst['live']} have not ended, {worst['time_wait']} are in TIME_WAIT, where none is reused.{slow}"
        )
    if worst["nat"]:
        return _reason_of_nat(worst, worst["nat"])
    if worst["kind"] == "udp" and not worst["usable"]:
        return "Every port of the range is reserved, for UDP as well."
    if worst["kind"] == "udp":
        each = ", ".join(f"{number} {state}" for state, number in worst["states"].items())
        return f"{worst['live']} UDP sockets have a port of the range ({each}), and a new one wants another port."
    if worst["live"] > worst["time_wait"]:
        states = Counter(worst["states"]).most_common()
        each = ", ".join(f"{number} {state}" for state, number in states)
        return (
            f"{worst['live']} of the blocked ports carry connections that have not ended ({each}), "
            f"{worst['time_wait']} are in TIME_WAIT: mostly not a matter of closed connections.{slow}"
        )
    hold = max(worst["hold_seconds"], 0.001)  # the kernel counts no finer
    mode = usage["sysctls"].get(TW_REUSE) or "not visible in this namespace"
    rate = f"{format_at_most(usage['port_range']['usable'] / hold)} new connections per second"
    timeout = usage["sysctls"].get(TW_TIMEOUT)
    length = f", tcp_tw_timeout is {timeout}" if timeout else ""
    hold_time = f"A closed connection blocks its port for {hold:g} s (tcp_tw_reuse is {mode}{length})"
    return f"{hold_time}, so one destination takes at most {rate}.{slow}"


def _reason_of_nat(worst: "Pool", nat: "Translation") -> str:
    """Who shares these ports, and what they allow for."""
    states = ", ".join(f"{number} {state}" for state, number in Counter(worst["states"]).most_common()) or "none"
    whose = "the rule names them" if nat["by_rule"] else "no rule that can be read says otherwise"
    rate = f"{format_at_most(worst['usable'] / max(worst['hold_seconds'], 0.001))} new connections per second"
    return (
        f"Everybody behind this host shares the ports {nat['ports']} of {worst['source']} ({whose}): {worst['live']} "
        f"have not ended ({states}), {worst['time_wait']} are closed and hold their port for "
        f"{worst['hold_seconds']:g} s, so one destination takes at most {rate}. The search for a port is not "
        "exhaustive: it fails before all are taken."
    )


def next_steps(usage: "Usage") -> List[str]:
    if usage["level"] == "unknown":
        hidden = usage["sysctls"].get(PORT_RANGE) is None
        asked = "hidden" if hidden else usage["probe"]
        return labelled("Next", _ASK[asked]) if asked in _ASK else []
    of_binders = bool(usage["pools"]) and usage["pools"][0]["kind"] == "bind"
    remedies = [one["remedy"] for one in usage["findings"] if of_binders and one["id"] == "bind-before-connect"]
    of_nat = bool(usage["pools"]) and usage["pools"][0]["nat"] is not None
    if of_nat and usage["level"] != "ok":
        return labelled("Next", next((one["remedy"] for one in usage["findings"] if one["id"] in _OF_NAT), ""))
    remedies += [one["remedy"] for one in usage["findings"] if one["id"] in TOLD_BY_VERDICT]
    name = place_name(usage["namespace"])
    if remedies and name:
        own = f"The playbook remediate changes {name} where timewait_remediate_namespaces names it, until it ends."
        own += f" To last, its sysctls are set {_WHERE_SET}."
        return [*labelled("Next", remedies[0]), *labelled("", own)]
    if remedies:
        told = [*labelled("Next", remedies[0]), *labelled("", "What would change on this host:")]
        return told + [line for part in WHAT_WOULD_CHANGE for line in labelled("", part)]
    return [] if usage["findings"] else labelled("Next", "Nothing to do.")


def format_use(pool: "Pool") -> str:
    """What the ports of a pool are for."""
    if pool["kind"] == "bind":
        return f"for bind() to {pool['source']}"
    return "for UDP" if pool["kind"] == "udp" else f"towards {format_destination(pool)}"

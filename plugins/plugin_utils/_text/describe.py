# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say results in plain words: the verdict first, then the numbers, then why, then what to do next.

Every function takes the result of a module or filter of this collection and returns lines of printable characters
without double quotes: Ansible's default output shows them as a JSON list. They are wrapped at WIDTH, as the list needs
eleven columns of its own; a verdict is always one line.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...module_utils._text import format_destination, format_percent

WIDTH = 88
LABEL = 10  # as wide as the longest label, TIME_WAIT, and its colon
DESTINATIONS_SHOWN = 5
VALUE_WIDTH = 40  # lists of reserved ports can be long

# Findings about the present load of a destination: verdict and table are about nothing else.
TOLD_BY_VERDICT = ("destination-exhausted", "destination-critical", "destination-warning")

APPLY_NOTES = {
    "skipped": " (skipped: this kernel does not have it)",
    "kept": " (left alone: it, or the file, was changed since)",
}

Result = Mapping[str, Any]


def describe(result: Result, check: bool = False) -> list[str]:
    """Describe a result of this collection, by its field kind.

    check: the result comes from check mode, so nothing has happened yet.
    Raises ValueError for anything else.
    """
    kind = str(result.get("kind")) if isinstance(result, Mapping) else ""
    if kind not in _KINDS:
        told = f"one of kind {kind:.40}" if isinstance(result, Mapping) else type(result).__name__
        raise ValueError(f"expected a result of this collection ({', '.join(_KINDS)}), not {told}")
    return [printable(line) for line in _KINDS[kind](result, check)]


def describe_remediation(result: Result, check: bool) -> list[str]:
    """Lines for the result of the action remediation: the plan, and what was applied of it."""
    del check  # the result says itself whether it is a prediction
    plan, applied = result["plan"], result["applied"]
    lines = describe_plan(plan) if plan else []
    if applied:
        return lines + describe_apply(applied, result["check_mode"])
    if plan and not plan["dropin"]:
        lines += labelled("Note", "The policy leaves every setting alone. The playbook rollback undoes earlier runs.")
    return lines


def describe_usage(usage: Result) -> list[str]:
    """Lines for the result of port_usage_info."""
    destinations: Sequence[Result] = usage["pools"]
    ports: Result = usage["port_range"]
    lines = [verdict(usage), *destination_table(destinations, ports["usable"])]
    if destinations:
        lines += labelled("Why", reason(usage, destinations[0]))
        lines += labelled("Rate", outlook(destinations[0]))
    for finding in notable(usage):
        lines += labelled(
            finding["severity"].capitalize(), f"{finding['summary']} {finding['remedy']} ({finding['id']})"
        )
    held = "" if ports["held"] is None else f", {ports['held']} held by bound sockets"
    lines += labelled(
        "Ports",
        f"{ports['low']}-{ports['high']}, {ports['usable']} of {ports['size']} usable "
        f"({ports['reserved']} reserved{held}).",
    )
    if usage["complete"] is False:
        lines += labelled("Note", "Sockets changed while they were listed; the numbers are a little off.")
    return lines + next_steps(usage)


def verdict(usage: Result) -> str:
    level, usable = usage["level"], usage["port_range"]["usable"]
    if not usable:
        return "EXHAUSTED: every port of the range is reserved or held."
    if not usage["pools"]:
        if usage["method"] == "sockstat":
            return f"OK: no destination blocks more than {usage['blocked_at_most']} of {usable} local ports."
        return f"{level.upper()}: no connection blocks any of the {usable} usable ports."
    worst = usage["pools"][0]
    towards = f"towards {format_destination(worst)}"
    if level == "exhausted":
        return f"EXHAUSTED: no local port is left {towards}: {worst['blocked']} of {usable} are blocked."
    share = format_percent(worst["saturation"])
    return f"{level.upper()}: {worst['blocked']} of {usable} local ports {towards} are blocked ({share})."


def outlook(worst: Result) -> str:
    """How fast connections to the worst destination are closed, and what comes of it."""
    window = "10s" if worst["hold_seconds"] >= 10 else "1s"
    trend = f", {worst['trend']}" if worst["trend"] else ""
    rate = f"{number(worst['rate'][f'last_{window}'])} connections/s closed over the last {window[:-1]} s{trend}"
    forecast = worst["forecast"]
    critical, exhausted = forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]
    if exhausted:
        soon = f"critical in {critical:.0f} s, " if critical else ""
        return f"{rate}; at that rate {soon}exhausted in {exhausted:.0f} s."
    if critical:
        end = format_percent(forecast["saturation"])
        return f"{rate}; at that rate critical in {critical:.0f} s, with {end} in the end."
    if exhausted is None:
        return f"{rate}; at that rate {format_percent(forecast['saturation'])} of the ports are blocked in the end."
    return f"{rate}."


def notable(usage: Result) -> list[Result]:
    """The findings that neither verdict nor table have told already."""
    return [finding for finding in usage["findings"] if finding["id"] not in TOLD_BY_VERDICT]


def destination_table(destinations: Sequence[Result], usable: int) -> list[str]:
    if not destinations:
        return []
    shown = destinations[:DESTINATIONS_SHOWN]
    rows: list[Sequence[object]] = [("destination", "blocked", "usable", "TIME_WAIT", "live", "saturation", "level")]
    rows += [
        (name, d["blocked"], usable, d["time_wait"], d["live"], format_percent(d["saturation"]), d["level"])
        for name, d in zip(names(shown), shown, strict=True)
    ]
    lines = table(rows, left=(0, 6))
    if len(destinations) > len(shown):
        lines.append(f"  and {len(destinations) - len(shown)} more, less loaded")
    return lines


def names(destinations: Sequence[Result]) -> list[str]:
    """Each destination by address and port; with its source where that alone tells two apart."""
    places = [format_destination(destination) for destination in destinations]
    return [
        f"{name} from {destination['source']}" if places.count(name) > 1 else name
        for name, destination in zip(places, destinations, strict=True)
    ]


def reason(usage: Result, worst: Result) -> str:
    """Why the ports of the worst destination are blocked, and what rate that leaves."""
    if worst["live"] > worst["time_wait"]:
        return (
            f"{worst['live']} of the blocked ports carry open connections, {worst['time_wait']} are in TIME_WAIT: "
            "mostly not a matter of closed connections."
        )
    hold, mode = worst["hold_seconds"], usage["sysctls"]["net.ipv4.tcp_tw_reuse"]
    slow = (
        " With half of the ports blocked, connect() searches long and slowly." if 0.5 <= worst["saturation"] < 1 else ""
    )
    return (
        f"A closed connection blocks its port for {hold:g} s (tcp_tw_reuse is {mode or 'not to be seen from here'}), "
        f"so one destination takes at most {per_second(usage['port_range']['usable'] / hold)}.{slow}"
    )


def next_steps(usage: Result) -> list[str]:
    remedies = [finding["remedy"] for finding in usage["findings"] if finding["id"] in TOLD_BY_VERDICT]
    if remedies:
        look = "ansible-playbook netops.ephemeral_ports.remediate -i INVENTORY --check --diff"
        return [*labelled("Next", remedies[0]), *labelled("", "What would change on this host:"), *labelled("", look)]
    return [] if usage["findings"] else labelled("Next", "Nothing to do.")


def describe_plan(plan: Result) -> list[str]:
    """Lines for the result of remediation_plan."""
    settings: Sequence[Result] = plan["settings"]
    rate: Result = plan["sustainable_rate"]
    changes = sum(setting["action"] == "set" for setting in settings)
    limit = f"at most {number(rate['after'])} new connections/s per destination"
    if not changes:
        lines = [f"NO CHANGE: {limit}."]
    elif rate["after"] == rate["before"]:
        lines = [f"CHANGE {changes} of {len(settings)} settings: still {limit}."]
    else:
        lines = [f"CHANGE {changes} of {len(settings)} settings: {limit}, not {number(rate['before'])}."]
    for setting in settings:
        lines.append(f"  {setting['action']:<11} {setting['key']}: {change(setting['current'], setting['wanted'])}")
        lines += wrapped(setting["reason"], indent=14)
    return lines


def describe_apply(result: Result, check: bool) -> list[str]:
    """Lines for the result of sysctl_dropin."""
    lines = [what_was_applied(result, check)]
    for setting in result["settings"]:
        note = APPLY_NOTES.get(setting["status"], "")
        if note or setting["before"] != setting["after"]:
            lines.append(f"  {setting['key']}: {change(setting['before'], setting['after'])}{note}")
    if result.get("recovered"):
        lines += labelled("Note", "An earlier run had broken off half-way; that was undone first.")
    if result.get("on_trial") and not check:
        lines += labelled("Note", "The change is on trial: until it is confirmed it can be taken back alone.")
    return lines


def what_was_applied(result: Result, check: bool) -> str:
    path, file = result["path"], result["file"]
    if file == "kept":
        return f"KEPT: {path} has been edited since and stays; remove it and roll back again to take back all."
    if file == "unmanaged":
        return f"UNCHANGED: no run is recorded for {path}, so there is nothing to take back."
    if not result["changed"]:
        if file == "absent":
            return f"UNCHANGED: there is no {path}, and nothing of it to take back."
        return f"UNCHANGED: {path} and the kernel already agree."
    if file in ("removed", "restored", "absent"):
        what = f"{path} was gone already" if file == "absent" else f"{path} is {file}"
        return f"WOULD TAKE BACK: {what}." if check else f"TAKEN BACK: {what}."
    in_kernel = any(setting["before"] != setting["after"] for setting in result["settings"])
    if not in_kernel:
        return f"{'WOULD CHANGE' if check else 'CHANGED'}: {path}; the kernel has these values already."
    what = "the kernel" if file == "unchanged" else f"{path} and the kernel"
    return f"WOULD CHANGE: {what}." if check else f"CHANGED: {what}, and they agree."


def describe_outcome(outcome: Result, check: bool) -> list[str]:
    """Lines for what became of a host in a rollout."""
    gate: Result | None = outcome["gate"]
    lines = [what_became(outcome, check)]
    if outcome["reason"]:
        lines += labelled("Why", outcome["reason"])
    for one in gate["checks"] if gate else ():
        lines += wrapped(f"{one['status']:<8} {one['id']}: {one['message']}", indent=2, hanging=9)
    if outcome["not_curable"]:
        lines += labelled("Beyond", f"Sysctls alone cannot cure this host. {outcome['not_curable']}")
    return lines


def what_became(outcome: Result, check: bool) -> str:
    state, gate = outcome["state"], outcome["gate"]
    wave = f" in wave {outcome['wave']}" if outcome["wave"] else ""
    if state == "unchanged":
        return "UNCHANGED: there is nothing to do on this host."
    if state == "pending":
        return f"WOULD CHANGE{wave}." if check and wave else "PENDING: to be changed when its wave comes."
    if state == "rolled_back":
        return f"WOULD TAKE BACK{wave}." if check else f"ROLLED BACK{wave}: what was changed has been taken back."
    if not gate:
        return f"FAILED{wave}." if state == "failed" else f"{state.upper()}{wave}."
    tally = Counter(one["status"] for one in gate["checks"])
    counts = ", ".join(f"{tally[status]} {status}" for status in ("passed", "failed", "unknown") if tally[status])
    return f"{state.upper()}{wave}: of {len(gate['checks'])} checks {counts}."


def describe_stress(stress: Result) -> list[str]:
    """Lines for the result of curl_stress."""
    attempted, url = stress["attempted"], stress["url"]
    failed = stress["failures"]
    if failed:
        lines = [f"FAILED: {failed} of {attempted} connections to {url} failed."]
    else:
        lines = [f"PASSED: all {attempted} connections to {url} succeeded."]
    for error in stress["errors"]:
        lines += wrapped(f"{error['count']} x {error_in_words(error)}", indent=2, hanging=4)
    stopped = ", until the time limit" if stress.get("stopped_by") == "time_limit" else ""
    lines += labelled("Rate", f"{per_second(stress['rate'])} for {stress['seconds']:.1f} s{stopped}.")
    times = ", ".join(f"{name} {value:.2f} ms" for name, value in stress["connect_ms"].items() if value is not None)
    if times:
        lines += labelled("Connect", f"{times}.")
    waiting, recycled = stress["time_wait"], stress["tw_recycled"]
    lines += labelled(
        "TIME_WAIT",
        f"{waiting['before']} before, {waiting['after']} after; {recycled['delta']} ports taken over early.",
    )
    return lines


def error_in_words(error: Result) -> str:
    """Both numbers with their names, and what they mean where that is known."""

    def named(label: str, number: int, name: str | None) -> str:
        return f"{label} {number} ({name})" if name else f"{label} {number}"

    codes = named("curl", error["curl_code"], error["curl_name"]), named("errno", error["errno"], error["errno_name"])
    return ", ".join(codes) + (f": {error['meaning']}" if error["meaning"] else "")


def change(before: str | None, after: str | None) -> str:
    """A value, or a value and the one that follows it."""
    if after is None or before == after:
        return shown(before)
    return f"{shown(before)} -> {shown(after)}"


def shown(value: str | None) -> str:
    if value is None:
        return "not there"
    text = " ".join(value.split()) or "empty"
    return text if len(text) <= VALUE_WIDTH else f"{text[:VALUE_WIDTH].rpartition(',')[0]} ..."


def table(rows: Sequence[Sequence[object]], left: Iterable[int]) -> list[str]:
    """Columns two blanks apart; those in `left` start, the others end, at the same column."""
    aligned = set(left)
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]

    def cell(column: int, value: object) -> str:
        return f"{value!s:<{widths[column]}}" if column in aligned else f"{value!s:>{widths[column]}}"

    return ["  " + "  ".join(cell(*pair) for pair in enumerate(row)).rstrip() for row in rows]


def labelled(label: str, text: str) -> list[str]:
    head = f"{label}:" if label else ""
    return _wrapped(text, f"{head:<{LABEL}} ", " " * (LABEL + 1))


def wrapped(text: str, indent: int = 0, hanging: int = 0) -> list[str]:
    return _wrapped(text, " " * indent, " " * (indent + hanging))


def _wrapped(text: str, first: str, later: str) -> list[str]:
    """Identifiers such as reuse-loopback-only stay whole."""
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def per_second(rate: float) -> str:
    return f"{number(rate)} new connections per second"


def number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def printable(line: str) -> str:
    """What a host says may not steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in line).replace('"', "'")


_KINDS: Mapping[str, Callable[[Result, bool], list[str]]] = {
    "usage": lambda usage, _check: describe_usage(usage),
    "plan": lambda plan, _check: describe_plan(plan),
    "apply": describe_apply,
    "remediation": describe_remediation,
    "load": lambda load, _check: describe_stress(load),
    "outcome": describe_outcome,
}

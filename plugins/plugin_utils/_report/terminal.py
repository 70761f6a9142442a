# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of _fleet in a terminal: a screen or two, whether there are 5 hosts or 5,000. Pure: no I/O, no clock."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...module_utils._text import format_destination, format_percent
from .._text.describe import change, number, printable, table, verdict
from .group import LEVELS, STATES, Result, natural, present_usage, recent_rate, worst_first

NARROWEST, WIDEST = 60, 120
WORST_SHOWN = 10
GROUPS_SHOWN = 8
NAMES_SHOWN = 6

NORMAL, GOOD, POOR, BAD = "normal", "good", "poor", "bad"

WORDS = {
    "unknown": "not seen",
    "rolled_back": "rolled back",
    "would_change": "would change",
}
SHORT = ("exhausted", "critical", "warning")
_TONES = {"exhausted": BAD, "critical": BAD, "failed": BAD, "unreachable": BAD, "warning": POOR, "info": NORMAL}


class Line(NamedTuple):
    """A line and how it feels; the colour says nothing that the words do not."""

    text: str
    tone: str = NORMAL


def summary_lines(report: Mapping[str, Any], width: int = 100) -> list[Line]:
    """Verdict first, then the worst hosts, then what hosts have in common."""
    width = max(NARROWEST, min(width, WIDEST))
    summary, hosts = report["summary"], report["hosts"]
    lines = [
        *_counts(summary, any(map(present_usage, hosts)), report["meta"].get("check_mode"), width),
        *_worst(hosts, width),
        *_losses(summary["lost"], width),
        *_groups("Beyond sysctls", summary["not_curable"], width),
        *_settings(summary["settings"], width),
        *_findings(summary["findings"], width),
    ]
    return [Line(printable(line.text), line.tone) for line in lines]


def word(name: str) -> str:
    return WORDS.get(name, name)


def hosts_in_words(number_of_hosts: int) -> str:
    return "1 host" if number_of_hosts == 1 else f"{number_of_hosts} hosts"


def counted(counts: Mapping[str, int], order: Iterable[str]) -> str:
    """Those that are not zero, as in "2 critical, 3 ok"."""
    return ", ".join(f"{counts[name]} {word(name)}" for name in order if counts.get(name))


def fold_names(names: Iterable[str], limit: int = NAMES_SHOWN) -> str:
    """Host names in few words: web[01:12] for a series as inventories write it, and how many were left out."""
    folded = _fold(sorted(set(names), key=natural))
    shown = ", ".join(text for text, _size in folded[:limit])
    left = sum(size for _text, size in folded[limit:])
    return f"{shown} and {left} more" if left else shown


def host_verdict(host: Mapping[str, Any]) -> str:
    """What there is to say of a host in a sentence."""
    usage = present_usage(host)
    if usage is None:
        return f"{word(host['state']).upper()}: {host['error'] or 'nothing is known of its ports.'}"
    text = verdict(usage)
    return f"{word(host['state']).upper()}. {text}" if host["state"] not in ("observed", "unchanged") else text


def change_in_words(setting: Mapping[str, Any]) -> str:
    return f"{setting['key']}: {change(setting['before'], setting['after'])}"


def _counts(summary: Result, looked: bool, check_mode: bool | None, width: int) -> list[Line]:
    """Without a look at any host, there is no level to tell."""
    levels, states = counted(summary["levels"], LEVELS), counted(summary["states"], STATES)
    states += " (check mode)" if check_mode else ""
    text = f"{hosts_in_words(summary['hosts'])}: {levels if looked else states}."
    if looked and set(STATES) - {"observed"} & {state for state, count in summary["states"].items() if count}:
        text += f" In this run: {states}."
    present = [level for level in LEVELS if summary["levels"][level]]
    lost = summary["states"]["failed"] or summary["states"]["unreachable"]
    tone = BAD if lost else _TONES.get(present[0], GOOD) if present else NORMAL
    return [Line(line, tone) for line in textwrap.wrap(text, width, break_on_hyphens=False)]


def _worst(hosts: Sequence[Result], width: int) -> list[Line]:
    """Hosts that are short of ports. Those that were lost have a section of their own."""
    troubled = [host for host in worst_first(hosts) if host["level"] in SHORT]
    if not troubled:
        return []
    shown = troubled[:WORST_SHOWN]
    rows: list[Sequence[object]] = [("host", "level", "towards", "blocked", "closed/s", "trend", "forecast")]
    rows += [_worst_row(host, width // 3) for host in shown]
    texts = [_cut(line, width) for line in table(rows, left=(0, 1, 2, 5, 6))]
    tones = [NORMAL, *(_TONES[host["level"]] for host in shown)]
    lines = [Line(""), Line("Short of ports, the worst first"), *map(Line, texts, tones)]
    if len(troubled) > len(shown):
        rest = counted(Counter(host["level"] for host in troubled[WORST_SHOWN:]), LEVELS)
        lines.append(Line(f"  and {len(troubled) - len(shown)} more ({rest})"))
    return lines


def _worst_row(host: Result, column: int) -> Sequence[object]:
    usage = present_usage(host)
    name = _cut(host["name"], column)
    if not usage or not usage["pools"]:
        return name, host["level"], "any", format_percent(1), "", "", "no usable port"
    one = usage["pools"][0]
    share, rate = format_percent(one["saturation"]), number(recent_rate(one))
    forecast = forecast_in_words(one["forecast"])
    return name, host["level"], format_destination(one), share, rate, one["trend"] or "", forecast


def forecast_in_words(forecast: Mapping[str, Any]) -> str:
    critical, exhausted = forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]
    if exhausted:
        return f"exhausted in {exhausted:.0f} s"
    if critical:
        return f"critical in {critical:.0f} s"
    if forecast["saturation"] > 1:
        return f"needs {forecast['saturation']:.1f} x the ports"
    return f"{format_percent(forecast['saturation'])} if it goes on"


def _losses(groups: Sequence[Result], width: int) -> list[Line]:
    lines: list[Line] = []
    for state in STATES:
        lines += _groups(word(state).capitalize(), [group for group in groups if group["state"] == state], width, BAD)
    return lines


def _groups(title: str, groups: Sequence[Result], width: int, tone: str = NORMAL) -> list[Line]:
    """Hosts under the reason that they share."""
    if not groups:
        return []
    lines = [Line(""), Line(f"{title}: {hosts_in_words(sum(group['hosts'] for group in groups))}", tone)]
    for group in groups[:GROUPS_SHOWN]:
        lines += _paragraph(_cut(group["reason"], 3 * width), width, 2)
        lines += _paragraph(f"{hosts_in_words(group['hosts'])}: {fold_names(group['names'])}", width, 6)
    return lines + _and_more(groups, "reason")


def _settings(settings: Sequence[Result], width: int) -> list[Line]:
    lines: list[Line] = []
    for how in ("changed", "rolled_back", "would_change", "planned"):
        groups = [setting for setting in settings if setting["how"] == how]
        if groups:
            lines += [Line(""), Line(word(how).capitalize())]
            for group in groups[:GROUPS_SHOWN]:
                text = f"{hosts_in_words(group['hosts'])}: {change_in_words(group)}"
                lines += _paragraph(text, width, 2)
            lines += _and_more(groups, "value")
    return lines


def _findings(findings: Sequence[Result], width: int) -> list[Line]:
    """Neighbours that have the same remedy say it once."""
    if not findings:
        return []
    lines = [Line(""), Line("Findings by cause")]
    shown = findings[:GROUPS_SHOWN]
    for group, following in zip(shown, [*shown[1:], None], strict=True):
        who = f"{hosts_in_words(group['hosts'])}: {fold_names(group['names'], 3)}"
        head = _paragraph(f"{group['severity']:<8} {group['id']}, {who}", width, 2)
        lines += [Line(line.text, _TONES[group["severity"]]) for line in head]
        if not following or following["remedies"][0] != group["remedies"][0]:
            lines += _paragraph(group["remedies"][0], width, 11)
    return lines + _and_more(findings, "finding")


def _and_more(groups: Sequence[object], what: str) -> list[Line]:
    left = len(groups) - GROUPS_SHOWN
    return [Line(f"  and {left} more {what}{'s' if left > 1 else ''}")] if left > 0 else []


def _paragraph(text: str, width: int, indent: int) -> list[Line]:
    first, rest = " " * indent, " " * (indent + 2)
    wrapped = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [Line(line) for line in wrapped]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


# The last number of the first label: in web12.eu1.example.org the 12, which is what inventories count.
_NUMBERED = re.compile(r"(?P<head>[^.]*?)(?P<number>[0-9]+)(?P<tail>[^0-9.]*(?:\..*)?)\Z", re.DOTALL)


def _fold(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each series of numbered names once, with how many names it stands for."""
    series: list[list[str]] = []
    for name in names:
        if series and _follows(name, series[-1][-1]):
            series[-1].append(name)
        else:
            series.append([name])
    return [(_written(members), len(members)) for members in series]


def _follows(name: str, before: str) -> bool:
    one, two = _NUMBERED.match(before), _NUMBERED.match(name)
    if not one or not two or (one["head"], one["tail"]) != (two["head"], two["tail"]):
        return False
    alike = len(one["number"]) == len(two["number"]) or "0" not in (one["number"][0], two["number"][0])
    return alike and int(two["number"]) == int(one["number"]) + 1


def _written(members: Sequence[str]) -> str:
    first, last = _NUMBERED.match(members[0]), _NUMBERED.match(members[-1])
    if len(members) == 1 or not first or not last:
        return members[0]
    return f"{first['head']}[{first['number']}:{last['number']}]{first['tail']}"

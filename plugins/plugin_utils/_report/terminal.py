# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in a terminal: a screen or two, whether there are 5 hosts or 5,000. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...module_utils._common.layout import cut_end, cut_middle, one_line, table, wrap
from ...module_utils._common.text import (
    format_destination,
    format_number,
    format_percent,
    format_some,
    place_name,
    recent_rate,
)
from .._model import (
    FindingGroup,
    GatewayDestination,
    GatewayGroup,
    HostReport,
    How,
    LossGroup,
    ReasonGroup,
    Report,
    SettingGroup,
    Summary,
    User,
    WaveGroup,
)
from .._text.gateways import is_short, told_of
from .._text.merged import told_of_days, told_of_merged
from .._text.rollout import name_of_wave, stopped_at, told_of_rollout, told_of_wave
from .._text.wording import (
    format_change,
    format_counts,
    format_forecast,
    format_hosts,
    format_names,
    format_word,
    level_from,
)
from .host import LEVELS, STATES, latest_usage, worst_usage
from .rank import worst_first
from .well import told_of_fullest, told_of_unobserved

NARROWEST, WIDEST = 60, 120
WORST_SHOWN = 10
GROUPS_SHOWN = 8
LONGEST = 1_000  # characters of a paragraph, whatever a host says: a refusal with its ways out has half of that

NORMAL, GOOD, POOR, BAD = "normal", "good", "poor", "bad"

SHORT = ("exhausted", "critical", "warning")
_TONES = {"exhausted": BAD, "critical": BAD, "failed": BAD, "unreachable": BAD, "warning": POOR, "info": NORMAL}
# Behind a level that is the kernel's.
_KERNEL_SAYS = "*"
_HOWS: Mapping[How, str] = {
    "changed": "Settings changed",
    "rolled_back": "Settings rolled back",
    "would_change": "Settings that would change",
    "planned": "Settings planned, not applied",
}


class Line(NamedTuple):
    """A line and how it feels; the colour says nothing that the words do not."""

    text: str
    tone: str = NORMAL


def summary_lines(report: Report, width: int = 100) -> list[Line]:
    """Verdict first, then the worst hosts, then what hosts have in common."""
    width = max(NARROWEST, min(width, WIDEST))
    summary, hosts = report["summary"], report["hosts"]
    lines = [
        *_counts(summary, any(map(latest_usage, hosts)), report["meta"]["check_mode"], width),
        *_together(report, width),
        *_scope(hosts, width),
        *_rollout(summary["waves"], width),
        *_worst(hosts, width),
        *_gateways(summary["gateways"], width),
        *_failing(hosts, width),
        *_losses(summary["lost"], width),
        *_groups("Not curable by sysctls", summary["not_curable"], width),
        *_settings(summary["settings"], width),
        *_findings(summary["findings"], width),
    ]
    return [Line(one_line(line.text), line.tone) for line in lines]


def _counts(summary: Summary, observed: bool, check_mode: bool, width: int) -> list[Line]:
    """Where no host was observed, there is no level to tell."""
    levels, states = format_counts(summary["levels"], LEVELS), format_counts(summary["states"], STATES)
    levels = "all ok" if summary["levels"]["ok"] == summary["hosts"] > 1 else levels
    states += " (check mode)" if check_mode else ""
    text = f"{format_hosts(summary['hosts'])}: {levels if observed else states}."
    if observed and set(STATES) - {"observed"} & {state for state, count in summary["states"].items() if count}:
        text += f" In this run: {states}."
    found = [level for level in LEVELS if summary["levels"][level]]
    lost = summary["states"]["failed"] or summary["states"]["unreachable"]
    tone = BAD if lost else _TONES.get(found[0], GOOD) if found else NORMAL
    return [Line(line, tone) for line in wrap(text, width)]


def _together(report: Report, width: int) -> list[Line]:
    """What it was put together from, and what has changed."""
    merged, days = report["merged"], report["days"]
    texts = told_of_merged(merged) if merged else []
    lines = [line for text in texts for line in _paragraph(text, width, 0)]
    if days:
        first, *changes = told_of_days(days)
        lines += [Line(""), *_paragraph(first, width, 0)]
        lines += [line for text in changes for line in _paragraph(text, width, 2)]
    return lines


def _scope(hosts: Sequence[HostReport], width: int) -> list[Line]:
    """How good an ok is, and what no level above says anything about."""
    texts = told_of_fullest(hosts), told_of_unobserved(hosts)
    return [Line(line) for text in texts for line in wrap(text, width)]


def _rollout(waves: Sequence[WaveGroup], width: int) -> list[Line]:
    """How it went, and the first and last of its waves; of a rollout that was stopped the last one says why."""
    if not waves:
        return []
    tone = BAD if stopped_at(waves) else NORMAL
    lines = [Line(""), *(Line(line, tone) for line in wrap(f"{told_of_rollout(waves)}.", width))]
    half, left = GROUPS_SHOWN // 2, len(waves) - GROUPS_SHOWN
    shown = [f"{name_of_wave(one)}: {told_of_wave(one)}" for one in waves]
    if left > 0:
        shown[half:-half] = [f"and {format_some(left, 'more wave')}"]
    return lines + [line for text in shown for line in _paragraph(text, width, 2)]


def _worst(hosts: Sequence[HostReport], width: int) -> list[Line]:
    """Hosts that are short of ports. Those that were lost have a section of their own."""
    troubled = worst_first(host for host in hosts if host["level"] in SHORT)
    if not troubled:
        return []
    shown = troubled[:WORST_SHOWN]
    rows: list[Sequence[object]] = [("host", "level", "towards", "blocked", "closed/s", "trend", "forecast")]
    rows += [_worst_row(host, width // 3) for host in shown]
    texts = [cut_end(line, width) for line in table(rows, left=(0, 1, 2, 5, 6))]
    tones = [NORMAL, *(_TONES[host["level"]] for host in shown)]
    lines = [Line(""), Line("Short of ports, the worst first"), *map(Line, texts, tones)]
    if any(_KERNEL_SAYS in str(row[1]) for row in rows):
        others = "" if all(_KERNEL_SAYS in str(row[1]) for row in rows[1:]) else ", the others as counted"
        lines.append(Line(f"  {_KERNEL_SAYS} as the kernel says{others}"))
    if len(troubled) > len(shown):
        rest = format_counts(Counter(host["level"] for host in troubled[WORST_SHOWN:]), LEVELS)
        lines.append(Line(f"  and {len(troubled) - len(shown)} more ({rest})"))
    return lines


def _worst_row(host: HostReport, column: int) -> Sequence[object]:
    usage = worst_usage(host)
    where = place_name(usage["namespace"]) if usage else ""
    name = cut_end(f"{host['name']}, {where}" if where else host["name"], column)
    if usage and usage["level"] not in SHORT:  # another network namespace is
        return name, host["level"], "", "", "", "", "connects fail"
    if not usage or not usage["pools"]:
        level = host["level"] + (_KERNEL_SAYS if usage and usage["port_range"]["usable"] else "")
        return name, level, "any", format_percent(1), "", "", "no usable port"
    pool = usage["pools"][0]
    share, rate = format_percent(pool["saturation"]), format_number(recent_rate(pool))
    towards, trend = format_destination(pool), pool["trend"] or ""
    level = host["level"] + (_KERNEL_SAYS if level_from(pool) == "kernel" else "")
    return name, level, towards, share, rate, trend, format_forecast(pool["forecast"])


def _gateways(groups: Sequence[GatewayGroup], width: int) -> list[Line]:
    """What no host sees by itself. It is inferred, and says what it leaves out."""
    if not groups:
        return []
    head = Line("NAT gateways, inferred from the sockets of the hosts behind them")
    every = [(group["gateway"]["name"], one) for group in groups for one in group["destinations"] if is_short(one)]
    every.sort(key=lambda pair: (LEVELS.index(pair[1]["level"]), -pair[1]["saturation"]))
    lines = [Line(""), head]
    if every:
        rows: list[Sequence[object]] = [("gateway", "level", "towards", "held", "closed/s", "forecast", "most by")]
        rows += [_gateway_row(name, one, width // 5) for name, one in every[:WORST_SHOWN]]
        texts = [cut_end(line, width) for line in table(rows, left=(0, 1, 2, 5, 6))]
        tones = [NORMAL, *(_TONES.get(one["level"], NORMAL) for _name, one in every)]
        lines += map(Line, texts, tones)
    if len(every) > WORST_SHOWN:
        lines.append(Line(f"  and {len(every) - WORST_SHOWN} more"))
    for group in groups[:GROUPS_SHOWN]:
        lines += [line for text in told_of(group) for line in _paragraph(text, width, 2)]
    return lines + _and_more(groups, "gateway")


def _gateway_row(name: str, one: GatewayDestination, column: int) -> Sequence[object]:
    first = one["shares"][0] if one["shares"] else None
    most = f"{cut_end(first['host'], column)} ({format_percent(first['share'])})" if first else ""
    where = f"{name}, {one['host']}" if one["host"] else name
    held, rate = format_percent(one["saturation"]), format_number(one["rate"])
    return cut_end(where, column), one["level"], one["destination"], held, rate, format_forecast(one["forecast"]), most


def _failing(hosts: Sequence[HostReport], width: int) -> list[Line]:
    """Programs whose connects find no local port, as far as they were traced."""
    failing = [(host["name"], user) for host in hosts for user in _failing_users(host)]
    if not failing:
        return []
    failing.sort(key=lambda pair: -pair[1]["no_port"])
    rows: list[Sequence[object]] = [("host", "program", "of", "towards", "connects/s", "failed")]
    rows += [_failing_row(name, user, width // 4) for name, user in failing[:WORST_SHOWN]]
    texts = [cut_end(line, width) for line in table(rows, left=(0, 1, 2, 3))]
    tones = [NORMAL, *(BAD for _one in texts[1:])]
    lines = [Line(""), Line("Connects that found no local port"), *map(Line, texts, tones)]
    left = len(failing) - WORST_SHOWN
    return [*lines, Line(f"  and {left} more")] if left > 0 else lines


def _failing_users(host: HostReport) -> list[User]:
    return [user for user in host["users"]["users"] if user["no_port"]] if host["users"] else []


def _failing_row(name: str, user: User, column: int) -> Sequence[object]:
    who = (cut_end(text, column) for text in (name, user["program"], user["owner"] or "", format_destination(user)))
    return *who, format_number(user["rate"]), user["no_port"]


def _losses(groups: Sequence[LossGroup], width: int) -> list[Line]:
    lines: list[Line] = []
    for state in STATES:
        title, lost = format_word(state).capitalize(), [group for group in groups if group["state"] == state]
        lines += _groups(title, lost, width, BAD)
    return lines


def _groups(title: str, groups: Sequence[LossGroup | ReasonGroup], width: int, tone: str = NORMAL) -> list[Line]:
    """Hosts under the reason that they share."""
    if not groups:
        return []
    lines = [Line(""), Line(f"{title}: {format_hosts(sum(group['hosts'] for group in groups))}", tone)]
    for group in groups[:GROUPS_SHOWN]:
        lines += _paragraph(group["reason"], width, 2)
        lines += _paragraph(f"{format_hosts(group['hosts'])}: {format_names(group['names'])}", width, 6)
    return lines + _and_more(groups, "reason")


def _settings(settings: Sequence[SettingGroup], width: int) -> list[Line]:
    lines: list[Line] = []
    for how, title in _HOWS.items():
        groups = [setting for setting in settings if setting["how"] == how]
        if groups:
            lines += [Line(""), Line(title)]
            for group in groups[:GROUPS_SHOWN]:
                values = format_change(group["before"], group["after"])
                lines += _paragraph(f"{format_hosts(group['hosts'])}: {group['key']}: {values}", width, 2)
            lines += _and_more(groups, "value")
    return lines


def _findings(findings: Sequence[FindingGroup], width: int) -> list[Line]:
    """Neighbours that have the same remedy say it once."""
    if not findings:
        return []
    lines = [Line(""), Line("Findings by cause")]
    shown = findings[:GROUPS_SHOWN]
    for group, following in zip(shown, [*shown[1:], None], strict=True):
        who = f"{format_hosts(group['hosts'])}: {format_names(group['names'], 3)}"
        head = _paragraph(f"{group['severity']:<8} {group['id']}, {who}", width, 2)
        lines += [Line(line.text, _TONES[group["severity"]]) for line in head]
        if not following or following["remedies"][0] != group["remedies"][0]:
            lines += _paragraph(group["remedies"][0], width, 11)
    return lines + _and_more(findings, "finding")


def _and_more(groups: Sequence[object], what: str) -> list[Line]:
    left = len(groups) - GROUPS_SHOWN
    return [Line(f"  and {format_some(left, f'more {what}')}")] if left > 0 else []


def _paragraph(text: str, width: int, indent: int) -> list[Line]:
    text = cut_middle(text, LONGEST)
    return [Line(line) for line in wrap(text, width, " " * indent, " " * (indent + 2))]

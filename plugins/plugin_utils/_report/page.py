# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page that needs nothing else, not even a network.

The template, its style and its script lie beside this file. The page's own policy allows this style and this script,
by their hashes, and nothing that could come with the data.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...module_utils._common.layout import cut_middle
from ...module_utils._common.text import (
    format_at_most,
    format_destination,
    format_number,
    format_percent,
    live_of,
    place_name,
    recent_rate,
)
from ...module_utils._usage.places import places, worst_place
from ...module_utils._usage.words import at_services, notable, reason, scope, told_places, verdict
from .._model import (
    Change,
    ChangeElsewhere,
    Forecast,
    GatewayGroup,
    HostReport,
    Level,
    LossGroup,
    Meta,
    Pool,
    Report,
    Summary,
    Usage,
    Users,
    WaveGroup,
)
from .._text.gateways import told_of
from .._text.merged import told_of_days, told_of_merged
from .._text.rollout import stopped_at, told_of_rollout, told_of_states, told_of_wave
from .._text.users import users_of, users_verdict
from .._text.wording import (
    format_answer,
    format_count,
    format_counts,
    format_forecast,
    format_hosts,
    format_names,
    format_value,
    format_word,
    level_from,
)
from .host import LEVELS, SEVERITIES, STATES, latest_usage, pools_before, worst_usage
from .rank import is_in_trouble, worst_first
from .well import at_most, saturation, told_of_fullest, told_of_unobserved

# What the template reads.
View = dict[str, Any]

HERE = Path(__file__).resolve().parent

# A browser stays quick up to here. What is left out is said on the page, and report.json has it.
ROWS = 1500
DETAILED = 150
BARS = 1000
DESTINATIONS = 12
NAMES = 12
_REASON = 300

_WORTH_A_LINE = 0.02
_WORTH_A_BAR = 0.01
_ARROWS = {"rising": "\u2197", "steady": "\u2192", "falling": "\u2198"}
_SETTLED = ("observed", "unchanged")


def render(report: Report) -> Iterator[str]:
    """The page, piece by piece."""
    style, script = (_asset(f"page.{kind}") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # Safe: both come with the collection.
    assets = {"style": Markup(style), "script": Markup(script), "policy": policy}
    yield from _environment().get_template("page.html.j2").generate(**assets, **view(report))


def view(report: Report) -> View:
    """All that the template shows, decided."""
    summary, meta, hosts = report["summary"], report["meta"], worst_first(report["hosts"])
    ids = {host["name"]: f"host-{index}" for index, host in enumerate(hosts, 1)}
    listed = hosts[:ROWS]
    rows = [_row(one, ids[one["name"]], _is_detailed(one, index, len(hosts))) for index, one in enumerate(listed)]
    return {
        "schema": report["schema"],
        "meta": meta,
        "title": headline(summary),
        "lead": lead(summary) or " ".join(filter(None, [told_of_fullest(hosts), told_of_unobserved(hosts)])),
        "when": _when(meta),
        "summary": summary,
        "levels": [(level, summary["levels"][level]) for level in LEVELS],
        "states": format_counts(summary["states"], STATES) if _acted(summary) else "",
        "tone": next((level for level in LEVELS if summary["levels"][level]), "unknown"),
        "chart": _chart(hosts, ids, len(rows)),
        "losses": summary["lost"],
        "not_curable": summary["not_curable"],
        "settings": summary["settings"],
        "findings": summary["findings"],
        "destinations": summary["destinations"][:DESTINATIONS],
        "more_destinations": max(0, len(summary["destinations"]) - DESTINATIONS),
        "merged": told_of_merged(report["merged"]) if report["merged"] else [],
        "changed": told_of_days(report["days"]) if report["days"] else [],
        "gateways": [_gateway(group) for group in summary["gateways"]],
        "waves": [{**one, "told": told_of_wave(one)} for one in summary["waves"]],
        "with_states": _acted(summary),
        "rows": rows,
        "left_out": format_hosts(len(hosts) - len(rows)) if len(hosts) > len(rows) else "",
        "without_details": sum(1 for row in rows if not row["details"]),
    }


def _gateway(group: GatewayGroup) -> View:
    shown = group["destinations"][:DESTINATIONS]
    return {
        "name": group["gateway"]["name"],
        "level": group["level"],
        "about": told_of(group),
        "destinations": [
            {**one, "outlook": format_forecast(one["forecast"]), "arrow": _ARROWS.get(one["trend"] or "", "")}
            for one in shown
        ],
        "more": max(0, group["destinations_found"] - len(shown)),
    }


def headline(summary: Summary) -> str:
    """The one sentence to take away: that a rollout was stopped, then who is short of ports, then what was done."""
    if stopped_at(summary["waves"]):
        return told_of_rollout(summary["waves"])
    return _pressing(summary) or told_of_rollout(summary["waves"]) or _losses(summary) or _levels(summary)


def _pressing(summary: Summary) -> str:
    """Where connects fail, or soon will; empty where none do."""
    levels, of = summary["levels"], _of(summary["hosts"])
    if levels["exhausted"]:
        return f"{format_count(levels['exhausted'])} {of} cannot open new connections to a destination"
    if levels["critical"]:
        verb = "is" if levels["critical"] == 1 else "are"
        return f"{format_count(levels['critical'])} {of} {verb} close to having no port left for new connections"
    return _short_gateway(summary["gateways"])


def _losses(summary: Summary) -> str:
    """What went wrong in this run, without hosts that could not be reached; empty where nothing did."""
    of = _of(summary["hosts"])
    failed = sum(group["hosts"] for group in summary["lost"] if group["state"] == "failed")
    rolled_back = sum(group["hosts"] for group in summary["lost"] if group["state"] == "rolled_back")
    verb = "was" if rolled_back == 1 else "were"
    what = [f"{format_count(failed)} {of} failed"] if failed else []
    what += [f"{format_count(rolled_back)} {'' if failed else f'{of} '}{verb} rolled back"] if rolled_back else []
    return ", ".join(what)


def _levels(summary: Summary) -> str:
    """Where no host is critical."""
    levels, total, of = summary["levels"], summary["hosts"], _of(summary["hosts"])
    unreachable = sum(group["hosts"] for group in summary["lost"] if group["state"] == "unreachable")
    if not total:
        return "No host took part"
    if levels["warning"]:
        verb = "is" if levels["warning"] == 1 else "are"
        return f"{format_count(levels['warning'])} {of} {verb} getting short of ports for new connections"
    if levels["unknown"] == total:
        told = told_of_states(summary["states"]) if _acted(summary) else ""
        return told[:1].upper() + told[1:] or "Nothing was observed"
    if levels["unknown"]:
        what = f"{format_count(levels['unknown'])} {of}"
        known = (
            f"{what} could not be reached" if unreachable == levels["unknown"] else f"The level of {what} is unknown"
        )
        return f"{known}; no other is short of ports"
    if total == 1:
        return "The host has enough ports for its connections"
    return f"All {format_count(total)} hosts have enough ports for their connections"


def _of(total: int) -> str:
    return f"of {format_count(total)} hosts" if total != 1 else "of 1 host"


def lead(summary: Summary) -> str:
    """What the headline means for whoever reads of ports for the first time; under that of a rollout, why, or how the
    hosts are now.
    """
    levels, waves = summary["levels"], summary["waves"]
    stopped, pressing = stopped_at(waves), _pressing(summary)
    if stopped:
        again = "Run the rollout again once that is mended: hosts that are changed need nothing more."
        return " ".join([_why_stopped(summary["lost"], stopped), again, *([f"{pressing}."] if pressing else [])])
    if levels["exhausted"]:
        return "No local port is left for them there: programs get an error (errno 99) until one is free again."
    if levels["critical"]:
        return "Every connection needs a local port. When none is left towards a destination, new ones fail (errno 99)."
    if waves and not pressing and levels["unknown"] < summary["hosts"]:
        all_well = levels["unknown"] and not levels["warning"]
        return "No host that was observed is short of ports." if all_well else f"{_levels(summary)}."
    if summary["lost"]:
        return ""
    if levels["warning"]:
        return "Nothing fails for want of a port yet. The forecast says of each host what will come of it at this rate."
    return ""


def _why_stopped(lost: Sequence[LossGroup], stopped: WaveGroup) -> str:
    """Of the host that did it: others of its wave only quote its reason."""
    names = {name for members in stopped["names"].values() for name in members}
    groups = [one for one in lost if not names.isdisjoint(one["names"])]
    groups.sort(key=lambda one: (one["reason"].partition(": ")[0] in names, one["state"] == "rolled_back"))
    text = f"{format_names(groups[0]['names'], 3)}: {cut_middle(groups[0]['reason'], _REASON)}" if groups else ""
    return f"{text.rstrip('.')}." if text else ""


def _short_gateway(groups: Sequence[GatewayGroup]) -> str:
    """No host is to blame alone, and yet connects hang."""
    worst = groups[0]["destinations"][0] if groups and groups[0]["level"] in ("exhausted", "critical") else None
    if not worst:
        return ""
    name, share = groups[0]["gateway"]["name"], format_percent(worst["saturation"])
    return f"The NAT gateway {name} has {share} of its ports in use towards {worst['destination']}"


def _acted(summary: Summary) -> bool:
    return any(summary["states"][state] for state in STATES if state != "observed")


def _when(meta: Meta) -> str:
    started, ended = datetime.fromisoformat(meta["started"]), datetime.fromisoformat(meta["ended"])
    seconds = round((ended - started).total_seconds())
    minutes = f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
    return f"{started.day} {started:%B %Y, %H:%M} {started.tzname()}, took {minutes}"


def _is_detailed(host: HostReport, index: int, hosts: int) -> bool:
    """All hosts of a small fleet; of a large one the worst and those of which there is more to say than a line."""
    if index >= DETAILED or (hosts > DETAILED and not _has_details(host)):
        return False
    return bool(latest_usage(host) or host["error"] or host["outcome"] or host["stress"] or host["users"])


def _has_details(host: HostReport) -> bool:
    usage = latest_usage(host)
    if is_in_trouble(host) or host["changes"] or host["elsewhere"] or host["users"]:
        return True
    return bool(usage and any(one["findings"] or one["pools"] for one in places(usage)))


def _row(host: HostReport, identifier: str, detailed: bool) -> View:
    usage, before = worst_usage(host), pools_before(host)
    pools = usage["pools"] if usage else []
    every = places(latest) if (latest := latest_usage(host)) else []
    findings = [finding for one in every for finding in one["findings"]]
    causes = dict.fromkeys(finding["id"] for finding in findings)
    words = f"level:{host['level']}", host["state"], format_word(host["state"]), *causes
    return {
        "id": identifier,
        "name": host["name"],
        "state": host["state"],
        "level": host["level"],
        "notable": host["state"] not in _SETTLED,
        "worst": _pool(pools[0], _has_half(usage)) if pools else None,
        "place": place_name(usage["namespace"]) if usage else "",
        "urgency": f"{_urgency(pools[0]['forecast']):.4g}" if pools else None,
        "before": before[0]["saturation"] if before and usage and usage["namespace"]["own"] else None,
        "at_most": at_most(usage),
        "findings": len(findings),
        "severity": min((finding["severity"] for finding in findings), key=SEVERITIES.index, default="info"),
        "words": " ".join(words),
        "kernel": usage["kernel"]["release"] if usage else "",
        "details": _details(host) if detailed else None,
    }


def _urgency(forecast: Forecast) -> float:
    """For sorting: what is out of ports, then what will soon be, then what it needs at this rate."""
    critical, exhausted = forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]
    if exhausted == 0:
        return 4 + forecast["saturation"]
    if exhausted:
        return 2 + 1 / (1 + abs(exhausted))
    return 1 + 1 / (1 + abs(critical)) if critical else min(forecast["saturation"], 1.0)


def _details(host: HostReport) -> View:
    usage, outcome, plan = latest_usage(host), host["outcome"], host["plan"]
    before = {(pool["source"], format_destination(pool)): pool["saturation"] for pool in pools_before(host)}
    first, *rest = told_places(usage) if usage else [None]
    return {
        "verdict": _verdict(host),
        "scope": f"{at_services(usage)} {scope(usage)}".strip() if usage else "",
        "error": host["error"] if usage else None,
        "usage": usage,
        "first": _place(first, before, host["users"]) if first else None,
        "rest": [_place(one, before, host["users"]) for one in rest if one],
        "users": host["users"],
        "users_verdict": users_verdict(host["users"]) if host["users"] else "",
        "plan": [setting for setting in plan["settings"] if setting["action"] != "unsupported"] if plan else [],
        "rate": plan["sustainable_rate"] if plan else None,
        "changes": [_change(change) for change in host["changes"]],
        "elsewhere": [_elsewhere(one) for one in host["elsewhere"]],
        "stress": host["stress"],
        "outcome": outcome,
    }


def _place(usage: Usage, before: Mapping[tuple[str | None, str], float], users: Users | None) -> View:
    """A network namespace of a host. before: saturations before a change, by source and destination."""
    pools, own, has_half = usage["pools"], usage["namespace"]["own"], _has_half(usage)
    earlier = before if own else {}
    return {
        "name": place_name(usage["namespace"]),
        "verdict": verdict(usage),
        "reason": reason(usage, pools[0]) if pools else "",
        "pools": [
            {
                **_pool(pool, has_half, earlier.get((pool["source"], format_destination(pool)))),
                "who": [*users_of(pool, usage, users), *live_of(pool)],
            }
            for pool in pools
        ],
        "with_who": users or any(pool["live_by"] for pool in pools),
        "findings": notable(usage),
        "findings_above": len(usage["findings"]) - len(notable(usage)),
    }


def _verdict(host: HostReport) -> str:
    """What there is to say of a host in a sentence."""
    usage, state = worst_usage(host), format_word(host["state"]).upper()
    if host["users"] and host["level"] == "exhausted" and not (usage and usage["level"] == "exhausted"):
        return users_verdict(host["users"])
    if usage is None:
        return f"{state}: {host['error'] or 'nothing is known of its ports.'}"
    return verdict(usage) if host["state"] in _SETTLED else f"{state}. {verdict(usage)}"


def _change(change: Change) -> View:
    different = [setting for setting in change["settings"] if setting["before"] != setting["after"]]
    title = "Would change" if change["check_mode"] else "Changed"
    if change["file"] in ("removed", "restored"):
        title = "Would be rolled back" if change["check_mode"] else "Rolled back"
    return {"title": title if change["changed"] else "Nothing to change", "path": change["path"], "settings": different}


def _elsewhere(one: ChangeElsewhere) -> View:
    different = [setting for setting in one["settings"] if setting["before"] != setting["after"]]
    if_run = "would be " if one["check_mode"] and one["status"] in ("changed", "rolled_back") else ""
    return {
        "title": f"{place_name(one['namespace'])}: {if_run}{format_word(one['status'])}",
        "settings": different,
        "lasting_way": one["lasting_way"],
    }


def _has_half(usage: Usage | None) -> bool:
    """Whether connect() searches one half of the ports first, and is slow from there on."""
    return bool(usage and usage["kernel"]["two_pass_port_search"]["supported"])


def _pool(pool: Pool, has_half: bool, before: float | None = None) -> View:
    hold = pool["hold_seconds"]
    rates = [(60, pool["rate"]["last_60s"]), (10, pool["rate"]["last_10s"]), (1, pool["rate"]["last_1s"])]
    highest = max(rate for _window, rate in rates) or 1
    told = ", ".join(f"{format_number(rate)}/s in the last {window} s" for window, rate in rates)
    return {
        **pool,
        "name": format_destination(pool),
        "before": before,
        "has_half": has_half,
        "recent": format_number(recent_rate(pool)),
        "arrow": _ARROWS.get(pool["trend"] or "", ""),
        "bars": [round(rate / highest * 12, 1) for _window, rate in rates],
        "rates": told
        if hold >= pool["time_wait_seconds"]
        else f"{told}; ports are reused after {hold:g} s, so older ones are missing",
        "outlook": format_forecast(pool["forecast"]),
        "answer": format_answer(pool),
        "level_from": level_from(pool),
    }


@dataclass
class Bar:
    """Of a host in the chart. rises: whether the forecast is worth a line of its own."""

    id: str
    name: str
    level: Level
    before: float
    after: float
    forecast: float
    x: float = 0.0
    link: bool = False

    @property
    def rises(self) -> bool:
        return self.forecast > self.after + _WORTH_A_LINE


def _chart(hosts: Sequence[HostReport], ids: Mapping[str, str], rows: int) -> View:
    """A bar for each host, the highest first; where there are many, for the highest of neighbours."""
    all_bars = [one for host in hosts if (one := _bar(host, ids[host["name"]]))]
    all_bars.sort(key=lambda one: (-max(one.before, one.after), -one.after))
    step = -(-len(all_bars) // BARS) or 1
    bars = all_bars[::step]
    width = 100 / max(len(bars), 12)
    linked = set(list(ids.values())[:rows])
    for index, one in enumerate(bars):
        one.x, one.link = round(index * width, 4), one.id in linked
    return {
        "bars": bars,
        "highest": max((one.after for one in bars), default=0.0),
        "has_half": any(_has_half(latest_usage(host)) for host in hosts),
        "flat": all(max(one.before, one.after, one.forecast) < _WORTH_A_BAR for one in bars),
        "width": round(width * (0.8 if len(bars) <= 200 else 1.1), 4),
        "step": step,
        "with_before": any(one.before > one.after for one in bars),
        "with_forecast": any(one.rises for one in bars),
        "unseen": len(hosts) - len(all_bars),
    }


def _bar(host: HostReport, identifier: str) -> Bar | None:
    usage = worst_usage(host)
    if not usage:
        return None
    now = saturation(usage)
    before = saturation(worst_place(host["usage"])) if host["usage_after"] and host["usage"] else now
    forecast = usage["pools"][0]["forecast"]["saturation"] if usage["pools"] else now
    return Bar(identifier, host["name"], host["level"], before, now, min(1.0, forecast))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=format_count,
        at_most=format_at_most,
        percent=format_percent,
        word=format_word,
        shown=format_value,
        number=format_number,
        names=lambda names, limit=NAMES: format_names(names, limit),
    )
    environment.globals.update(format_hosts=format_hosts, destination=format_destination)
    return environment


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

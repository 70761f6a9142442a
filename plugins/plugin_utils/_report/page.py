# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of _fleet as one HTML page that needs nothing else, not even a network.

The template, its style and its script lie beside this file. The page's own policy allows this style and this script,
by their hashes, and nothing that could come with the data.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...module_utils._text import format_destination, format_percent
from .._text.describe import notable, number, reason, shown
from .group import (
    LEVELS,
    SEVERITIES,
    STATES,
    Result,
    is_in_trouble,
    present_usage,
    recent_rate,
    source_and_place,
    worst_first,
)
from .terminal import counted, fold_names, forecast_in_words, host_verdict, hosts_in_words, word

HERE = Path(__file__).resolve().parent

# A browser stays quick up to here. What is left out is said on the page, and report.json has it.
ROWS = 1500
DETAILED = 150
BARS = 1000
DESTINATIONS = 12
NAMES = 12

_WORTH_A_LINE = 0.02
_ARROWS = {"rising": "\u2197", "steady": "\u2192", "falling": "\u2198"}
_SETTLED = ("observed", "unchanged")


def render(report: Mapping[str, Any]) -> Iterator[str]:
    """The page, piece by piece."""
    style, script = (_asset(f"page.{kind}") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # Safe: both come with the collection.
    assets = {"style": Markup(style), "script": Markup(script), "policy": policy}
    yield from _environment().get_template("page.html.j2").generate(**assets, **view(report))


def view(report: Mapping[str, Any]) -> Result:
    """All that the template shows, decided."""
    summary, meta, hosts = report["summary"], report["meta"], worst_first(report["hosts"])
    ids = {host["name"]: f"host-{index}" for index, host in enumerate(hosts, 1)}
    listed = hosts[:ROWS]
    rows = [_row(one, ids[one["name"]], _is_detailed(one, index, len(hosts))) for index, one in enumerate(listed)]
    return {
        "schema": report["schema"],
        "meta": meta,
        "title": headline(summary),
        "when": _when(meta),
        "summary": summary,
        "levels": [(level, summary["levels"][level]) for level in LEVELS],
        "states": counted(summary["states"], STATES) if _acted(summary) else "",
        "tone": next((level for level in LEVELS if summary["levels"][level]), "unknown"),
        "chart": _chart(hosts, ids, len(rows)),
        "losses": summary["lost"],
        "beyond": summary["not_curable"],
        "settings": summary["settings"],
        "findings": summary["findings"],
        "destinations": summary["destinations"][:DESTINATIONS],
        "more_destinations": max(0, len(summary["destinations"]) - DESTINATIONS),
        "waves": summary["waves"],
        "with_states": _acted(summary),
        "rows": rows,
        "left_out": hosts_in_words(len(hosts) - len(rows)) if len(hosts) > len(rows) else "",
        "without_details": sum(1 for row in rows if not row["details"]),
    }


def headline(summary: Mapping[str, Any]) -> str:
    """The one sentence to take away."""
    levels, total = summary["levels"], summary["hosts"]
    of = f"of {count(total)} hosts" if total != 1 else "of 1 host"
    if not total:
        return "No host took part"
    if levels["exhausted"]:
        verb = "has" if levels["exhausted"] == 1 else "have"
        return f"{count(levels['exhausted'])} {of} {verb} no local port left towards a destination"
    if levels["critical"]:
        verb = "is" if levels["critical"] == 1 else "are"
        return f"{count(levels['critical'])} {of} {verb} past half of the ports towards a destination"
    undone = sum(group["hosts"] for group in summary["lost"] if group["state"] != "unreachable")
    if undone:
        return (
            f"{count(undone)} {of} failed or went back to what it was"
            if undone == 1
            else (f"{count(undone)} {of} failed or went back to what they were")
        )
    if levels["warning"]:
        verb = "comes" if levels["warning"] == 1 else "come"
        return f"{count(levels['warning'])} {of} {verb} close to running out of ports"
    if levels["unknown"]:
        verb = "was" if levels["unknown"] == 1 else "were"
        return f"{count(levels['unknown'])} {of} {verb} not seen; no other is short of ports"
    return f"No host of {count(total)} is short of ports" if total != 1 else "The host is not short of ports"


def count(value: float) -> str:
    """Whole from ten on, as nobody needs more of a rate."""
    return f"{value:,.1f}" if isinstance(value, float) and value < 10 else f"{value:,.0f}"


def share(value: float) -> str:
    return format_percent(value)


def _acted(summary: Mapping[str, Any]) -> bool:
    return any(summary["states"][state] for state in STATES if state != "observed")


def _when(meta: Mapping[str, Any]) -> str:
    started, ended = (datetime.fromisoformat(meta[name]) for name in ("started", "ended"))
    seconds = round((ended - started).total_seconds())
    minutes = f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
    return f"{started.day} {started:%B %Y, %H:%M} {started.tzname()}, took {minutes}"


def _is_detailed(host: Mapping[str, Any], index: int, hosts: int) -> bool:
    """All hosts of a small fleet; of a large one the worst and those of which there is more to say than a line."""
    if index >= DETAILED or (hosts > DETAILED and not _has_details(host)):
        return False
    return bool(present_usage(host) or host["error"] or host["outcome"] or host["stress"])


def _has_details(host: Mapping[str, Any]) -> bool:
    usage = present_usage(host)
    return bool(is_in_trouble(host) or host["changes"] or (usage and (usage["findings"] or usage["pools"])))


def _row(host: Mapping[str, Any], identifier: str, detailed: bool) -> Result:
    usage = present_usage(host)
    destinations = usage["pools"] if usage else []
    worst = _destination(destinations[0], usage) if destinations and usage else None
    before = host["usage"]["pools"] if host["usage_after"] and host["usage"] else []
    findings = usage["findings"] if usage else []
    return {
        "id": identifier,
        "name": host["name"],
        "state": host["state"],
        "level": host["level"],
        "notable": host["state"] not in _SETTLED,
        "worst": worst,
        "before": before[0]["saturation"] if before else None,
        "at_most": _at_most(usage),
        "findings": len(findings),
        "severity": min((finding["severity"] for finding in findings), key=SEVERITIES.index, default="info"),
        "words": " ".join([host["name"], host["level"], word(host["level"]), host["state"], word(host["state"])]),
        "causes": " ".join(dict.fromkeys(finding["id"] for finding in findings)),
        "kernel": usage["kernel"]["release"] if usage else "",
        "details": _details(host) if detailed else None,
    }


def _details(host: Mapping[str, Any]) -> Result:
    usage, outcome = present_usage(host), host["outcome"] or {}
    destinations = usage["pools"] if usage else []
    earlier = host["usage"]["pools"] if host["usage_after"] and host["usage"] else []
    before = {source_and_place(one): one["saturation"] for one in earlier}
    plan = host["plan"]
    return {
        "verdict": host_verdict(host),
        "reason": reason(usage, destinations[0]) if usage and destinations else "",
        "error": host["error"] if usage else None,
        "usage": usage,
        "destinations": [
            {**_destination(one, usage), "before": before.get(source_and_place(one))} for one in destinations
        ],
        "with_before": bool(host["usage_after"] and host["usage"]),
        "findings": notable(usage) if usage else [],
        "plan": [setting for setting in plan["settings"] if setting["action"] != "unsupported"] if plan else [],
        "rate": plan["sustainable_rate"] if plan else None,
        "changes": [_change(change) for change in host["changes"]],
        "stress": host["stress"],
        "reason_of_outcome": outcome.get("reason"),
        "wave": outcome.get("wave"),
        "beyond": outcome.get("not_curable"),
        "gate": outcome.get("gate"),
    }


def _change(change: Mapping[str, Any]) -> Result:
    different = [setting for setting in change["settings"] if setting["before"] != setting["after"]]
    title = "Would change" if change["check_mode"] else "Changed"
    if change["file"] in ("removed", "restored"):
        title = "Would be taken back" if change["check_mode"] else "Taken back"
    return {"title": title if change["changed"] else "Nothing to change", "path": change["path"], "settings": different}


def _destination(destination: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Result:
    rate, hold = destination["rate"], destination["hold_seconds"]
    highest = max(rate.values()) or 1
    usable = usage["port_range"]["usable"] if usage else 0
    return {
        **destination,
        "name": format_destination(destination),
        "usable": usable,
        "recent": number(recent_rate(destination)),
        "arrow": _ARROWS.get(destination["trend"] or "", ""),
        "bars": [round(rate[f"last_{window}s"] / highest * 12, 1) for window in (60, 10, 1)],
        "rates": ", ".join(f"{number(rate[f'last_{window}s'])}/s in the last {window} s" for window in (60, 10, 1))
        + ("" if hold >= 60 else f"; ports are taken over after {hold:g} s, so older ones are missing"),
        "outlook": forecast_in_words(destination["forecast"]),
    }


def _at_most(usage: Mapping[str, Any] | None) -> float | None:
    """Where the counters proved the host healthy, no more is known than this."""
    if not usage or usage["pools"] or usage["method"] != "sockstat" or not usage["port_range"]["usable"]:
        return None
    return min(1.0, float(usage["blocked_at_most"] / usage["port_range"]["usable"]))


def _chart(hosts: Sequence[Mapping[str, Any]], ids: Mapping[str, str], rows: int) -> Result:
    """A bar for each host, the highest first; where there are many, for the highest of neighbours."""
    seen = [host_bar for host in hosts if (host_bar := _bar(host, ids))]
    seen.sort(key=lambda host_bar: (-max(host_bar["before"], host_bar["after"]), -host_bar["after"]))
    step = -(-len(seen) // BARS) or 1
    bars = seen[::step]
    width = 100 / max(len(bars), 12)
    linked = set(list(ids.values())[:rows])
    for index, host_bar in enumerate(bars):
        host_bar["x"], host_bar["link"] = round(index * width, 4), host_bar["id"] in linked
    return {
        "bars": bars,
        "highest": max((host_bar["after"] for host_bar in bars), default=0.0),
        "width": round(width * (0.8 if len(bars) <= 200 else 1.1), 4),
        "step": step,
        "with_before": any(host_bar["before"] > host_bar["after"] for host_bar in bars),
        "with_forecast": any(host_bar["rises"] for host_bar in bars),
        "unseen": len(hosts) - len(seen),
    }


def _bar(host: Mapping[str, Any], ids: Mapping[str, str]) -> Result | None:
    usage = present_usage(host)
    if not usage:
        return None
    now = _saturation(usage)
    before = _saturation(host["usage"]) if host["usage_after"] and host["usage"] else now
    forecast = usage["pools"][0]["forecast"]["saturation"] if usage["pools"] else now
    return {
        "id": ids[host["name"]],
        "name": host["name"],
        "level": host["level"],
        "after": now,
        "before": before,
        "forecast": min(1.0, forecast),
        "rises": min(1.0, forecast) > now + _WORTH_A_LINE,
    }


def _saturation(usage: Mapping[str, Any]) -> float:
    if usage["pools"]:
        return float(usage["pools"][0]["saturation"])
    return 1.0 if usage["level"] == "exhausted" else _at_most(usage) or 0.0


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=count,
        percent=share,
        word=word,
        shown=shown,
        names=lambda names, limit=NAMES: fold_names(names, limit),
    )
    environment.globals["hosts_in_words"] = hosts_in_words
    return environment


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

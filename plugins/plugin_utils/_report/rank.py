# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worst first: which host needs somebody the most."""

from __future__ import annotations

from collections.abc import Iterable

from .._model import HostReport
from .host import SEVERITIES, worst_usage

# No port left, then what went wrong in this run, then what is short of ports.
_RANKS = {name: rank for rank, name in enumerate(("exhausted", "failed", "critical", "unreachable", "warning"))}


def worst_first(hosts: Iterable[HostReport]) -> list[HostReport]:
    """Those that are alike stay in their order, which in a report is that by name."""
    return sorted(hosts, key=_badness)


def is_in_trouble(host: HostReport) -> bool:
    return _rank(host) < len(_RANKS)


def _rank(host: HostReport) -> int:
    trouble = "failed" if host["state"] == "rolled_back" and host["outcome"] else host["state"]
    return min(_RANKS.get(host["level"], len(_RANKS)), _RANKS.get(trouble, len(_RANKS)))


def _badness(host: HostReport) -> tuple[object, ...]:
    usage = worst_usage(host)
    worst = usage["pools"][0] if usage and usage["pools"] else None
    loads = (-worst["saturation"], -worst["forecast"]["saturation"]) if worst else (1.0, 0.0)
    severities = [SEVERITIES.index(finding["severity"]) for finding in usage["findings"]] if usage else []
    return _rank(host), *loads, min(severities, default=len(SEVERITIES))

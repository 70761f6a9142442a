# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a fleet is ok is a statement: how far its hosts are from the limit, and what was not observed. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ...module_utils._usage.words import format_use
from .._model import HostReport, Usage
from .._text.wording import format_hosts
from .host import latest_usage, worst_usage

_UNSEEN = {"namespaces": "other network namespaces", "udp": "UDP", "nat": "NAT"}


def saturation(usage: Usage) -> float:
    """Of the most loaded destination; where the counters proved the host healthy, no more is known than a bound."""
    if usage["pools"]:
        return usage["pools"][0]["saturation"]
    return 1.0 if usage["level"] == "exhausted" else at_most(usage) or 0.0


def at_most(usage: Usage | None) -> float | None:
    if not usage or usage["pools"] or usage["method"] != "sockstat" or not usage["port_range"]["usable"]:
        return None
    return min(1.0, usage["blocked_at_most"] / usage["port_range"]["usable"])


def told_of_fullest(hosts: Sequence[HostReport]) -> str:
    """How far hosts are from the limit that are all ok; empty where one is not."""
    usages = [(worst_usage(host), host["name"]) for host in hosts if host["level"] == "ok"]
    known = [(saturation(usage), usage, name) for usage, name in usages if usage]
    if not known or len(known) < len(hosts):
        return ""
    share, usage, name = max(known, key=lambda one: one[0])
    if not share:
        return "No local port is blocked towards any destination."
    percent = f"{math.ceil(round(share * 100, 2))}%"
    if not usage["pools"]:
        return f"No destination blocks more than {percent} of the local ports of a host."
    return (
        f"At most {percent} of the local ports of a host are blocked, those of {name} {format_use(usage['pools'][0])}."
    )


def told_of_unobserved(hosts: Sequence[HostReport]) -> str:
    """What no level says anything about; empty where there is nothing."""
    left = Counter(what for host in hosts if (usage := latest_usage(host)) for what in {*_unseen(usage)})
    text = ", ".join(f"{_UNSEEN[what]} on {format_hosts(left[what])}" for what in _UNSEEN if left[what])
    return f"Not observed: {text}." if text else ""


def _unseen(usage: Usage) -> Iterator[str]:
    """Without those that there may be, for all that can be told."""
    return (one["what"] for one in usage["not_observed"] if one["number"])

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard as users have it, and what it asks Prometheus. make_dashboard.py makes it."""

from __future__ import annotations

import json
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "monitoring/dashboards/ephemeral_ports.json"


def queries(text: str) -> list[str]:
    """Every query of a dashboard, with all hosts in place of the variable."""
    panels = [panel for one in json.loads(text)["panels"] for panel in (one, *one.get("panels", ()))]
    return [with_all_hosts(target["expr"]) for panel in panels for target in panel.get("targets", ())]


def with_all_hosts(expression: str) -> str:
    return expression.replace("$host", ".*")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a finding."""

from typing import Any, Dict, Optional

SEVERITIES = ("critical", "warning", "info")
CRITICAL, WARNING, INFO = SEVERITIES

Finding = Dict[str, Any]


def make_finding(
    identifier: str, severity: str, summary: str, remedy: str, destination: Optional[str] = None, **evidence: object
) -> Finding:
    return {
        "id": identifier,
        "severity": severity,
        "summary": summary,
        "remedy": remedy,
        "destination": destination,
        "evidence": evidence,
    }

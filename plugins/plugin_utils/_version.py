# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of the collection this is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


@cache
def collection_version(root: Path = ROOT) -> str | None:
    """As installed, or as in a checkout; None where neither tells."""
    manifest, source = root / "MANIFEST.json", root / "galaxy.yml"
    try:
        if manifest.exists():
            return str(json.loads(manifest.read_text())["collection_info"]["version"])
        return str(yaml.safe_load(source.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None

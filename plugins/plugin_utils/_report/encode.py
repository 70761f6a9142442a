# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as JSON. What thousands have in common is one object (_border keeps it once), and is encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from .._model import HostReport, Usage

# What _border keeps once of a usage and of a change, besides the plan.
_OF_USAGE = frozenset({"namespace", "sysctls", "port_range", "listening_ports", "kernel"})
_OF_CHANGE = frozenset({"settings"})
# So many texts are kept. What they are of stays where it is as long as there is the report.
_MOST = 4_096

# Stands for what is left out. No host can say this, _border sees to that; a name in the inventory might have it.
_MARK = "\0"
_GAP = '"\\u0000"'

encode = json.JSONEncoder(check_circular=False).encode  # of what was parsed


class HostEncoder:
    """For the hosts of one report."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def encode(self, host: HostReport) -> str:
        """As encode() does."""
        left_out: list[object] = []
        pieces = encode(_without_common(host, left_out)).split(_GAP)
        if len(pieces) != len(left_out) + 1:
            return encode(host)
        both = [""] * (len(pieces) + len(left_out))
        both[::2], both[1::2] = pieces, map(self._text, left_out)
        return "".join(both)

    def _text(self, value: object) -> str:
        text = self._texts.get(id(value))
        if text is None:
            text = encode(value)
            if len(self._texts) < _MOST:
                self._texts[id(value)] = text
        return text


def _without_common(host: HostReport, left_out: list[object]) -> dict[str, Any]:
    """The host with a mark for each member that is added to those left out, in the order of the text."""
    result: dict[str, Any] = {}
    for name, value in host.items():
        if value and name in ("usage", "usage_after"):
            result[name] = _without(_OF_USAGE, cast(Usage, value), left_out)
        elif name == "changes":
            result[name] = [_without(_OF_CHANGE, one, left_out) for one in host["changes"]]
        elif value and name == "plan":
            left_out.append(value)
            result[name] = _MARK
        else:
            result[name] = value
    return result


def _without(names: frozenset[str], value: Mapping[str, Any], left_out: list[object]) -> dict[str, Any]:
    result = dict(value)
    for name in value:
        if name in names:
            left_out.append(result[name])
            result[name] = _MARK
    return result

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML boolean is no number, whatever Ansible's types make of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._arguments import OptionError, refuse_booleans

SPEC: dict[str, dict[str, Any]] = {
    "count": {"type": "int"},
    "rate": {"type": "float"},
    "force": {"type": "bool"},
    "name": {"type": "str"},
}


@pytest.mark.parametrize(
    "arguments",
    [{}, {"count": 1, "rate": 0.5}, {"count": "1"}, {"count": None}, {"force": True}, {"name": True}, {"other": True}],
)
def test_accepted(arguments: dict[str, object]) -> None:
    refuse_booleans(SPEC, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": True}, "count must be a number, not the boolean true"),
        ({"count": False}, "count must be a number, not the boolean false"),
        ({"rate": True}, "rate must be a number, not the boolean true"),
    ],
)
def test_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        refuse_booleans(SPEC, arguments)

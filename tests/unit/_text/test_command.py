# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis proposes to paste names this host alone, and changes nothing, whichever of its lines is pasted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.words import WHAT_WOULD_CHANGE
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.command import for_host

LINES = [f"           {line}" for line in WHAT_WOULD_CHANGE]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "-i INVENTORY -l HOST"),
        ({"inventory": ("web1,",)}, "-i web1, -l web1"),
        ({"inventory": ("/srv/inventory", "/srv/of mine")}, "-i /srv/inventory -i '/srv/of mine' -l web1"),
        ({"inventory": ("web1,",), "connection": "local"}, "-i web1, -l web1 -c local"),
        ({"inventory": ("web1,",), "connection": "ssh"}, "-i web1, -l web1"),
    ],
)
def test_the_host_is_named(arguments: dict[str, Any], named: str) -> None:
    command, host = for_host(LINES, "web1", arguments)
    assert command == LINES[0]
    assert host == f"             {named}"


def test_what_a_host_says_is_no_place_for_it() -> None:
    said = "Who:       program -i INVENTORY -l HOST"
    assert for_host([said], "web1", {"inventory": ("web1,",)}) == [said]


def test_no_line_changes_anything_by_itself() -> None:
    """A command that was cut after its first line is still a check."""
    first, *rest = WHAT_WOULD_CHANGE
    assert "--check" in first
    assert first.endswith(" \\")
    assert not any("ansible-playbook" in line for line in rest)

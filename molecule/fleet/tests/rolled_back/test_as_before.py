# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the rollback: every file and every value of every host is as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_the_rollback_succeeds_everywhere(play: Callable[[str], Any]) -> None:
    rolled_back = play("rolled_back")
    assert rolled_back.rc == 0
    assert len(rolled_back.recap) == 12
    assert len(rolled_back.hosts_with("changed")) == 11


def test_everything_is_as_before(witness: list[str], witness_before: list[str]) -> None:
    assert witness == witness_before

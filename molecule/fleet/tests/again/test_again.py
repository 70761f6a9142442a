# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the second run: nothing has changed, neither for good nor for bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_the_second_run_changes_nothing_and_fails_for_the_same_host(play: Callable[[str], Any]) -> None:
    again = play("again")
    assert again.rc == 2
    assert again.hosts_with("changed") == []
    assert again.hosts_with("failed") == ["fleet07"]


def test_who_was_fixed_stays_fixed(present: tuple[str, str], fixed: tuple[str, str]) -> None:
    assert present == fixed

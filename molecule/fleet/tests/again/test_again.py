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


def test_who_was_fixed_stays_fixed(is_broken: bool, values: dict[str, str]) -> None:
    assert values["tcp_tw_reuse"] == ("2" if is_broken else "1")
    assert values["ip_local_port_range"] == ("32768 60999" if is_broken else "10240 65535")

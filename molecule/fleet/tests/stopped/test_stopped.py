# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the rollout that its gate stopped: the canary is changed, the second wave as before, no other was touched."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

WAVE = ["fleet02", "fleet03", "fleet04", "fleet05"]


def test_the_canary_is_judged_by_real_load(play: Callable[[str], Any]) -> None:
    stopped = play("stopped")
    assert stopped.hosts_that_are("changed") == ["fleet01"]
    assert stopped.status("fleet01", "reuse-works") == "passed"
    assert stopped.status("fleet01", "failed-connects") == "passed"
    assert stopped.status("fleet01", "syn-retransmissions") == "passed"


def test_the_gate_stops_the_second_wave_by_what_it_counted(play: Callable[[str], Any]) -> None:
    stopped = play("stopped")
    assert stopped.rc == 2
    assert stopped.hosts_that_are("rolled_back") == WAVE
    assert stopped.status("fleet05", "syn-retransmissions") == "failed"
    assert stopped.status("fleet02", "syn-retransmissions") == "passed"
    message = re.sub(r"\s+", " ", stopped.output)
    assert "The rollout ends with wave 2, which was rolled back. fleet05: syn-retransmissions:" in message


def test_the_others_had_no_turn(play: Callable[[str], Any]) -> None:
    stopped = play("stopped")
    assert stopped.hosts_that_are("pending") == ["fleet06", "fleet08", "fleet09", "fleet10", "fleet12"]
    assert stopped.hosts_that_are("unchanged") == ["fleet11"]
    assert stopped.hosts_that_are("failed") == ["fleet07"]
    assert stopped.hosts_with("failed") == [*WAVE, "fleet07"]


def test_everything_is_as_before_but_on_the_canary(name: str, witness: list[str], witness_before: list[str]) -> None:
    assert (witness == witness_before) is (name not in ("fleet01", "fleet11"))

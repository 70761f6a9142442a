# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the first run: all but the broken host are fixed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


def test_diagnosis_reaches_every_host(play: Callable[[str], Any]) -> None:
    diagnosed = play("diagnosed")
    assert diagnosed.rc == 0
    assert len(diagnosed.recap) == 12
    assert diagnosed.hosts_with("changed") == diagnosed.hosts_with("failed") == []


def test_the_run_fails_for_the_broken_host_alone_and_says_why(play: Callable[[str], Any]) -> None:
    remediated = play("remediated")
    assert remediated.rc == 2
    assert remediated.hosts_with("failed") == ["fleet07"]
    assert len(remediated.hosts_with("changed")) == 11
    message = re.sub(r"\s+", " ", remediated.output)
    assert "/proc/sys is read-only here, as in an unprivileged container, so net.ipv4." in message


def test_the_broken_host_is_as_it_was_and_the_others_are_fixed(
    name: str, witness: list[str], witness_before: list[str], present: tuple[str, str], fixed: tuple[str, str]
) -> None:
    assert present == fixed
    assert (witness == witness_before) is (name == "fleet07")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of waves: what Ansible would take for the whole fleet, or would crash on, is refused."""

from __future__ import annotations

import pytest
from ansible.executor.playbook_executor import pct_to_int

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.waves import read_waves


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (3, ["3"]),
        ("3", ["3"]),
        ("10%", ["10%"]),
        ([1, "10%", "30%", "100%"], ["1", "10%", "30%", "100%"]),
        ((1, 2), ["1", "2"]),
    ],
)
def test_sizes_of_waves(given: object, sizes: list[str]) -> None:
    assert read_waves(given) == sizes
    assert all(1 <= pct_to_int(size, 1000) <= 1000 for size in sizes)  # as Ansible takes them


@pytest.mark.parametrize(
    "given",
    [0, "0", -1, "-1", "200%", "0%", "-10%", "101%", "1.5%", "%", "", " ", "abc", None, True, 1.5, {}, {"a": 1}, b"1",
     "[1, 2]", "1,2", "0x10", "1_0", "\u0663", "010", "9" * 40, "1%\n"],
)  # fmt: skip
def test_other_sizes_are_refused(given: object) -> None:
    for value in (given, [1, given], [[1]]):
        with pytest.raises(ValueError, match="is not the size of a wave; give numbers of hosts from 1 on, or shares"):
            read_waves(value)


def test_no_wave_at_all() -> None:
    with pytest.raises(ValueError, match="at least one wave"):
        read_waves([])

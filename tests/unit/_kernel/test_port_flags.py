# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags for ports are held against a set of int."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.port_flags import PortFlags
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet

PORTS = st.sets(st.integers(0, 65535) | st.sampled_from([0, 255, 256, 65280, 65535]))


@given(PORTS, PORTS, st.integers(0, 3))
def test_they_are_a_set(one: set[int], other: set[int], first: int) -> None:
    flags = PortFlags(one)
    assert list(flags) == sorted(one)
    assert (len(flags), bool(flags)) == (len(one), bool(one))
    assert flags == PortFlags.of(PortSet.of(one)) != one
    assert all(port in flags for port in one)
    for found, expected in (
        (flags | PortFlags(other), one | other),
        (flags & PortFlags(other), one & other),
        (flags - PortFlags(other), one - other),
        (flags.every_second(first), {port for port in one if port >= first and port % 2 == first % 2}),
    ):
        assert set(found) == expected
    assert flags.among(other) == len(one & other)
    assert [page for page, wanted in enumerate(flags.pages()) if wanted] == sorted({port >> 8 for port in one})
    assert not one or flags.spread() == max(one) - min(one) + 1
    changed = flags.copy()
    changed.discard(other)
    assert (set(flags), set(changed)) == (one, one - other)

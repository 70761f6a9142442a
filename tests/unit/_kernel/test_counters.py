# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of recorded kernels, and the statistics of connection tracking."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import counters
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sockstat import read_sockstat

from .. import recorded
from ..recorded import KERNELS, OLD_KERNELS


@pytest.mark.parametrize("kernel", KERNELS)
def test_counters(kernel: str) -> None:
    proc = str(recorded.ROOT / kernel / "proc")
    assert read_sockstat(proc)["TCP"]["tw"] >= 40
    found = counters.read_netstat(proc)
    assert "TWRecycled" in found["TcpExt"]
    assert found["IpExt"]["InOctets"] > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_counters_of_two_files(kernel: str) -> None:
    """What the gate of a rollout goes by. SYNs sent again have a counter of their own since Linux 3.15."""
    found = counters.read_counters(str(recorded.ROOT / kernel / "proc"))
    assert found["ActiveOpens"] == 52
    assert {"AttemptFails", "TWRecycled", "PAWSActive", "PAWSEstab"} <= found.keys()
    assert ("TCPSynRetrans" in found) is (kernel != "3.10.108")
    assert ("PAWSPassive" in found) is (kernel in OLD_KERNELS)
    assert "InOctets" not in found


def test_conntrack_statistics_are_hexadecimal_and_summed() -> None:
    text = "entries  insert_failed drop\n0000000a  0000000f 00000001\n0000000a  00000001 00000000\n"
    assert counters.parse_conntrack(text) == {"entries": 10, "insert_failed": 16, "drop": 1}
    assert counters.parse_conntrack("") == {}

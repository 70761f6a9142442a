# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the rollback: every file and every value is as it was."""

from __future__ import annotations


def test_everything_is_as_before(witness: list[str], witness_before: list[str]) -> None:
    assert witness == witness_before


def test_that_is_the_host_with_few_ports(values: dict[str, str]) -> None:
    assert values["ip_local_port_range"] == "32768 33267"
    assert values["tcp_tw_reuse"] == "2"

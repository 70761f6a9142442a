# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: it was tcp_tw_reuse that helped, on the same few ports."""

from __future__ import annotations

from typing import Any


def test_the_range_is_as_narrow_as_before(values: dict[str, str]) -> None:
    assert values["ip_local_port_range"] == "32768 33267"


def test_ports_were_taken_over(stress: dict[str, Any]) -> None:
    assert stress["tw_recycled"]["delta"] >= stress["attempted"] - 500

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a level says nothing about."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Others
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.not_observed import Observed, not_observed

ALONE = Others(0, 0, 0)
ALL = Observed(sockets=True, probe="asked", unasked=0, others=ALONE, udp=True)
NO_UDP = {"UDP": {"inuse": 0}}


@pytest.mark.parametrize(
    ("observed", "sockstat", "expected"),
    [
        (ALL, NO_UDP, []),
        (ALL._replace(sockets=False), NO_UDP, [("sockets", None, "counters")]),
        (ALL, {"UDP": {"inuse": 3}, "UDP6": {"inuse": 2}}, []),
        (ALL._replace(udp=False), {"UDP": {"inuse": 3}, "UDP6": {"inuse": 2}}, [("udp", 5, "counters")]),
        (ALL, {}, [("udp", None, "counters")]),
        (ALL._replace(unasked=7), NO_UDP, [("destinations", 7, "time")]),
        (ALL._replace(unasked=7, probe="not_allowed"), NO_UDP, [("destinations", 7, "not_allowed")]),
        (ALL._replace(others=Others(3, 0, 0)), NO_UDP, [("namespaces", 3, "elsewhere")]),
        (ALL._replace(others=Others(3, 0, 900)), NO_UDP, [("namespaces", 3, "time")]),
        (ALL._replace(others=Others(0, 90, 0)), NO_UDP, [("namespaces", 0, "not_allowed")]),
    ],
)
def test_what_and_why(observed: Observed, sockstat: Any, expected: list[tuple[str, int | None, str]]) -> None:
    found = not_observed(observed, sockstat)
    assert [(one["what"], one["number"], one["why"]) for one in found] == expected

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan

from .hosts import usage


@pytest.mark.parametrize("wrong", [{}, {"sysctls": {}}, {"sysctls": None}, {**usage(), "listening_ports": None}])
def test_input_must_be_a_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a result of netops"):
        make_plan(wrong, {})


@pytest.mark.parametrize("name", ["tcp_timestamps", "tcp_tw_reuse", "tcp_tw_recycle"])
@pytest.mark.parametrize("value", ["1\nkernel.panic = 1", "", "yes", "-1"])
def test_what_a_host_calls_a_number_is_one(name: str, value: str) -> None:
    """It would stand in the drop-in as it was read."""
    with pytest.raises(ValueError, match=f"{name} is .* on this host, and no number"):
        make_plan(usage(**{name: value}), {})


def test_a_key_that_is_not_read_may_be_ours() -> None:
    """Somebody has called sysctl_dropin with it."""
    ours = usage(own={"tcp_syncookies": ("1", "2")})
    assert make_plan(ours, {}) == make_plan(usage(), {})

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

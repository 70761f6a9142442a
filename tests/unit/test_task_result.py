# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task has failed."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._task_result import reason_given


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Task failed: Action failed: No space.", "No space."),
        ("Task failed: Failed to connect to the host via ssh", "Failed to connect to the host via ssh"),
        ("No space. Task failed: really", "No space. Task failed: really"),
        ("Task failed: ", "Task failed: "),
        ("", "no reason given"),
        (None, "no reason given"),
    ],
)
def test_what_ansible_puts_before_each_reason_goes(message: str | None, reason: str) -> None:
    assert reason_given({"msg": message}) == reason

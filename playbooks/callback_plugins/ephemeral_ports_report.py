# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible loads what lies here with the playbooks of this collection: their report needs no configuration."""

from __future__ import annotations

from typing import Any

from ansible import constants as C  # noqa: N812 - its usual name

from ansible_collections.netops.ephemeral_ports.plugins.callback import fleet_report

DOCUMENTATION = fleet_report.DOCUMENTATION


class CallbackModule(fleet_report.CallbackModule):
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - they are ansible-core's
        super().__init__(*args, **options)
        # Where the configuration enables the report, one is enough.
        self.disabled = fleet_report.CallbackModule.CALLBACK_NAME in C.CALLBACKS_ENABLED

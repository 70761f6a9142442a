# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, by a connection that takes no input, as paramiko's does."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: no_input")


class Connection(local.Connection):  # type: ignore[misc]  # ansible-core has no types
    transport = "no_input"
    has_pipelining = False

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        if in_data:
            raise AnsibleError("this connection takes no input")
        done: tuple[int, bytes, bytes] = super().exec_command(cmd, None, sudoable)
        return done

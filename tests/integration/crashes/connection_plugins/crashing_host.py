# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, reached as ssh reaches a host: without pipelining there is a terminal, and ssh has the last word."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: crashing_host
short_description: This machine, reached as ssh reaches a host
description:
  - For tests.
extends_documentation_fragment: connection_pipelining
options:
  host:
    description: The name in the inventory.
    vars:
      - name: inventory_hostname
  ssh_says:
    description: What ssh prints to its stderr before everything else.
    default: ""
    vars:
      - name: ssh_says
  unreachable:
    description: Why ssh does not get through.
    default: ""
    vars:
      - name: ssh_unreachable
"""


class Connection(ConnectionBase):  # type: ignore[misc]  # ansible-core has no types
    transport = "crashing_host"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        self._connected = False

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._fail_if_unreachable()
        terminal = in_data is None and sudoable  # ssh -tt
        done = subprocess.run(
            cmd,
            shell=True,
            executable="/bin/sh",
            input=in_data or b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if terminal else subprocess.PIPE,
            check=False,
        )
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        before = self.get_option("ssh_says").encode()
        if not terminal:
            return code, done.stdout, before + done.stderr
        closed = f"Shared connection to {self.get_option('host')} closed.\r\n"
        return code, done.stdout.replace(b"\n", b"\r\n"), before + closed.encode()

    def put_file(self, in_path: str, out_path: str) -> None:
        """As with ansible_ssh_transfer_method: piped."""
        super().put_file(in_path, out_path)
        with Path(in_path).open("rb") as file:
            done = subprocess.run(["dd", f"of={out_path}"], stdin=file, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AnsibleError(f"failed to transfer file to {in_path} {out_path}:\n{done.stdout}\n{done.stderr}")

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        raise AnsibleError(f"nobody asks for {in_path} to be in {out_path}")

    def _fail_if_unreachable(self) -> None:
        if self.get_option("unreachable"):
            raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: {self.get_option('unreachable')}")

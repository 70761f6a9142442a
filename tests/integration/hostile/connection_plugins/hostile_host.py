# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection to a host that answers what an attacker wants. The host is this plugin: it costs no process."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase
from payload import Call, read_call
from ways import Way, find

DOCUMENTATION = """
name: hostile_host
short_description: A host that answers what an attacker wants
description:
  - For tests.
options:
  host:
    description: The name in the inventory, which is the way of the attack.
    vars:
      - name: inventory_hostname
"""

FACTS = """
PLATFORM
Linux
FOUND
/usr/bin/python3
ENDFOUND
"""


class Connection(ConnectionBase):  # type: ignore[misc]  # ansible-core has no types
    transport = "hostile_host"
    has_pipelining = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: dict[str, Call] = {}

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        self._connected = False

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        call = read_call(out_path, Path(in_path).read_bytes())
        if call:
            self._calls[out_path] = call
            self._received(**call._asdict())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleConnectionFailure(f"nobody asks for {in_path} to be in {out_path}")

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        if self._way().unreachable:
            raise AnsibleConnectionFailure(self._way().unreachable)
        calls = [call for path, call in self._calls.items() if path in cmd and not re.search("chmod|rm -f", cmd)]
        if calls:
            return self._way().answer(calls[-1])  # the last is that of async_wrapper, where there is one
        self._received(command=cmd, given=(in_data or b"").decode(errors="replace")[:2000])
        return 0, self._shell_says(cmd).encode(), b""

    def _shell_says(self, command: str) -> str:
        if self._way().shell is not None and ("PLATFORM" in command or self._way().name != "discovery"):
            return self._way().shell
        if "PLATFORM" in command:
            return FACTS
        if made := re.search(r"echo (ansible-tmp-[\w.-]+)=", command):
            return f"{made[1]}=/root/.ansible/tmp/{made[1]}\n"
        return "/root\n" if "echo ~" in command else ""

    def _way(self) -> Way:
        return find(str(self.get_option("host")))

    def _received(self, **what: object) -> None:
        with Path(os.environ["HOSTILE_RECEIVED"], f"{self.get_option('host')}.jsonl").open("a") as file:
            file.write(json.dumps(what) + "\n")

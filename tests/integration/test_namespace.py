# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper itself: what it promises to the other tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

InNamespace = Callable[..., subprocess.CompletedProcess[str]]

LOOK = """
import json, socket, sys
socket.create_server(("198.18.0.1", 0)).close()
show = lambda key: open("/proc/sys/net/ipv4/" + key).read().split()
print(json.dumps([show("ip_local_port_range"), show("tcp_tw_reuse"), sys.argv[1:]]))
"""
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_namespace_is_private_and_prepared(in_namespace: InNamespace) -> None:
    outside = RANGE.read_text()
    done = in_namespace(LOOK, "hello", sysctls={"net.ipv4.tcp_tw_reuse": "1"})
    assert json.loads(done.stdout) == [["32768", "33267"], ["1"], ["hello"]]
    assert RANGE.read_text() == outside


def test_failing_command(in_namespace: InNamespace) -> None:
    assert in_namespace(["sh", "-c", "exit 3"], check=False).returncode == 3

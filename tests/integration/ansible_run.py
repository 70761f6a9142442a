# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible's command line tools that do not each start an interpreter (ansible_server.py).

For tests of what a run does. Those of the command line itself, and of another ansible-core, start one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What an interpreter heeds when it starts.
AT_START = ("PYTHON", "LANG", "LC_", "TZ")


class Server:
    """started_with: of its environment, what an interpreter heeds when it starts."""

    def __init__(self, started_with: Mapping[str, str]) -> None:
        self.owner = os.getpid()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("ansible_server.py")), str(number)],
                env={"PATH": os.environ["PATH"], **started_with}, stdin=subprocess.DEVNULL, pass_fds=[number],
            )  # fmt: skip

    def run(self, request: Sequence[Any], streams: Sequence[int], timeout: float) -> int:
        """The exit code."""
        assert self.owner == os.getpid(), "a fork may be in other namespaces than the server"
        socket.send_fds(self.channel, [json.dumps(request).encode()], streams)
        process = int(self.told())
        self.channel.settimeout(timeout)
        try:
            status = self.told()
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            self.channel.settimeout(None)
            self.told()
            raise subprocess.TimeoutExpired("ansible", timeout) from None
        self.channel.settimeout(None)
        return os.waitstatus_to_exitcode(int(status))

    def end(self) -> None:
        self.channel.shutdown(socket.SHUT_RDWR)  # a fork of this process may have it, too
        self.channel.close()
        self.process.wait()

    def told(self) -> bytes:
        answer = self.channel.recv(100)
        assert answer, "the server has ended"
        return answer


servers: dict[tuple[tuple[str, str], ...], Server] = {}


def server(*started_with: tuple[str, str]) -> Server:
    """One for all runs of this process that an interpreter would start with the same."""
    if started_with not in servers:
        servers[started_with] = Server(dict(started_with))
    return servers[started_with]


def end_servers() -> None:
    """What they have cost is then known to who waits for this process."""
    while servers:
        servers.popitem()[1].end()


def ansible(
    *arguments: str,
    namespaces: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """As `python -m ansible ARGUMENTS`, in these namespaces."""
    environment = dict(os.environ if environment is None else environment)
    one = server(*sorted(item for item in environment.items() if item[0].startswith(AT_START)))
    request = (arguments, environment, str(directory or ("/" if namespaces else Path.cwd())), namespaces)
    with Path(os.devnull).open() as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = one.run(request, [stream.fileno() for stream in (nothing, out, err)], timeout)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

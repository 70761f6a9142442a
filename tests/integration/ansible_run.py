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

# What an interpreter heeds when it starts.
AT_START = ("PYTHON", "LANG", "LC_", "TZ")
# Configurations that are remembered.
KEPT = 8

# Arguments, environment, directory, namespaces.
Request = tuple[Sequence[str], Mapping[str, str], str, Sequence[str]]


class Server:
    """started_with: of its environment, what an interpreter heeds when it starts."""

    def __init__(self, started_with: Mapping[str, str]) -> None:
        self.owner = os.getpid()
        self.channels: dict[object, socket.socket] = {}
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("ansible_server.py")), str(number)],
                env={"PATH": os.environ["PATH"], **started_with}, stdin=subprocess.DEVNULL, pass_fds=[number],
            )  # fmt: skip

    def run(self, request: Request, streams: Sequence[int], timeout: float) -> int:
        """The exit code."""
        assert self.owner == os.getpid(), "a fork may be in other namespaces than the server"
        channel = self.channel_for(request)
        socket.send_fds(channel, [json.dumps(request).encode()], streams)
        process = int(told(channel))
        channel.settimeout(timeout)
        try:
            status = told(channel)
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            channel.settimeout(None)
            told(channel)
            raise subprocess.TimeoutExpired("ansible", timeout) from None
        channel.settimeout(None)
        return os.waitstatus_to_exitcode(int(status))

    def channel_for(self, request: Request) -> socket.socket:
        """From the second run with a configuration on, to a fork of the server that has it; that of the last few."""
        configuration = configuration_of(request)
        found = self.channels.pop(configuration, None)
        if found is self.channel:
            found = self.configured(request)
        self.channels[configuration] = found or self.channel
        if len(self.channels) > KEPT:
            self.leave(next(iter(self.channels)))
        return self.channels[configuration]

    def configured(self, request: Request) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            everywhere = (*request[:-1], ())
            socket.send_fds(self.channel, [json.dumps(everywhere).encode()], [theirs.fileno()])
        return ours if ours.recv(100) else self.channel

    def leave(self, configuration: object) -> None:
        channel = self.channels.pop(configuration)
        if channel is not self.channel:
            close(channel)

    def end(self) -> None:
        while self.channels:
            self.leave(next(iter(self.channels)))
        close(self.channel)
        self.process.wait()


def told(channel: socket.socket) -> bytes:
    answer = channel.recv(100)
    assert answer, "the server has ended"
    return answer


def close(channel: socket.socket) -> None:
    channel.shutdown(socket.SHUT_RDWR)  # a fork of this process may have it, too
    channel.close()


def configuration_of(request: Request) -> str:
    """What tells what becomes of ansible.constants, and of all that imports it."""
    _arguments, environment, directory, _namespaces = request
    named, home = environment.get("ANSIBLE_CONFIG", ""), environment.get("HOME", "")
    places = (named, f"{named}/ansible.cfg", "ansible.cfg", f"{home}/.ansible.cfg", "/etc/ansible/ansible.cfg")
    paths = [Path(directory, place) for place in places]
    files = [path.read_text() if path.is_file() else None for path in paths]
    return repr((sorted(item for item in environment.items() if item[0] != "PYTEST_CURRENT_TEST"), directory, files))


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

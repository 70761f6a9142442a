# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-lint, whose sixty runs of `ansible-playbook --syntax-check` are forks of one process here.

Each would otherwise begin with the same second of imports. What ansible-lint finds on PATH hands arguments,
environment, directory and streams over to that process, which has imported ansible's program with the environment of
the first run; a run with another environment starts the program itself.

usage: python scripts/ansible_lint.py [ARGUMENT OF ansible-lint...]
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

PROGRAM = "ansible-playbook"
PLACE = Path(__file__).resolve().parents[1] / "build/lint"
MOST = 1 << 18
CALLER = """\
#!{python} -IS
import os, sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
from array import array
channel = socket(AF_UNIX, SOCK_SEQPACKET)
channel.connect({path!r})
environment = [f"{{name}}={{value}}" for name, value in os.environ.items()]
request = "\\0".join([os.getcwd(), str(len(environment)), *environment, *sys.argv[1:]])
channel.sendmsg([os.fsencode(request)], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
os._exit(int(channel.recv(10) or 1))
"""


class Request(NamedTuple):
    directory: str
    environment: dict[str, str]
    arguments: list[str]


def parse(message: bytes) -> Request:
    directory, count, *words = os.fsdecode(message).split("\0")
    environment = dict(word.split("=", 1) for word in words[: int(count)])
    return Request(directory, environment, words[int(count) :])


def serve(server: socket.socket, program: str) -> None:
    """Never returns."""
    for stream in 0, 1:  # by which ansible decides on colours
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    known: dict[str, str] | None = None
    while True:
        caller = server.accept()[0]
        message, streams, *_rest = socket.recv_fds(caller, MOST, 3)
        request = parse(message)
        if known is None:
            known = request.environment
            os.environ.clear()
            os.environ.update(known)
            import_module("ansible.cli.playbook")
            gc.freeze()
        if os.fork() == 0:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.chdir(request.directory)
            caller.send(str(run(request, program, same=request.environment == known)).encode())
            os._exit(0)
        for stream in [*streams, caller.detach()]:
            os.close(stream)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def run(request: Request, program: str, same: bool) -> int:
    """The exit code."""
    if not same:
        return subprocess.run([program, *request.arguments], env=request.environment, check=False).returncode
    code: object = 1
    try:
        import_module("ansible.cli.playbook").main([PROGRAM, *request.arguments])
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


def main(arguments: list[str]) -> int:
    program = shutil.which(PROGRAM)
    assert program, f"{PROGRAM} is not on PATH"
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"{directory}/socket")
        server.listen()
        PLACE.mkdir(parents=True, exist_ok=True)
        shim = PLACE / PROGRAM
        shim.write_text(CALLER.format(python=sys.executable, path=f"{directory}/socket"))
        shim.chmod(0o755)
        if (process := os.fork()) == 0:
            serve(server, program)
        try:
            environment = {**os.environ, "PATH": f"{PLACE}{os.pathsep}{os.environ['PATH']}"}
            return subprocess.run(["ansible-lint", *arguments], env=environment, check=False).returncode
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`podman exec CONTAINER WORD...` and `podman [u]mount CONTAINER`, at a tenth of the cost. For root; see quick/podman.

An exec costs the engine a sixth of a second of the processors, and Ansible needs four or five of them for a task. So
the first one starts a process that stays in the container, as ssh's ControlPersist does on a host, and starts the
others: with the namespaces, cgroup, capabilities, system calls and environment that the engine gives. Where that cannot
be, the engine is called.

usage: PODMAN=/usr/bin/podman PODMAN_STATE=DIRECTORY python -I -S scripts/quick/exec.py VERB CONTAINER [WORD...]

In the directory a link with the name of a container leads to its root directory.
"""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
from array import array  # socket and subprocess take three times as long to import as the rest of an exec

PODMAN = os.environ["PODMAN"]
STATE = os.environ["PODMAN_STATE"]
GONE = 137  # what the engine says of a container that was killed

# The process that stays. It runs on what Python the container has.
KEEPER = r"""
import array, os, signal, socket, sys

def run(words, streams):
    # An ignored one stays it: Python ignores two, and whoever started this process may have ignored SIGHUP.
    for number in signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        os.write(2, ("%s: %s\n" % (os.fsdecode(words[0]), error.strerror)).encode())
    os._exit(127)

def answer(caller):
    message, ancillary, _flags, _address = caller.recvmsg(1 << 18, socket.CMSG_SPACE(12))
    child = os.fork()
    if child == 0:
        run(message.split(b"\0"), array.array("i", ancillary[0][2]))
    os.closerange(3, caller.fileno())
    status = os.waitpid(child, 0)[1]
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    caller.send(b"%d" % code)
    os._exit(0)

os.environ.pop("LC_CTYPE", None)  # by which Python has made ASCII UTF-8
path = sys.argv[1]
own = "%s.%d" % (path, os.getpid())
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind(own)
server.listen(100)
os.rename(own, path)
if os.fork():
    os._exit(0)
os.setsid()
for number in range(3):
    os.dup2(os.open(os.devnull, os.O_RDWR), number)
while True:
    caller = server.accept()[0]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if os.fork() == 0:
        answer(caller)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    caller.close()
"""


def path_in(container: str) -> str:
    return f"/run/{container}.exec"  # with the name, as what was a process of this container can be one of another


def connect(container: str) -> socket | None:
    connection = socket(AF_UNIX, SOCK_SEQPACKET)
    try:
        connection.connect(os.readlink(f"{STATE}/{container}") + path_in(container))
    except OSError:
        return None
    return connection


def keep(container: str) -> None:
    """Start the process in the container. Where that fails, or there is no such container, the engine will say so."""
    import subprocess  # here, as it takes longer than an exec

    def ask(*arguments: str) -> str:
        return subprocess.run([PODMAN, *arguments], capture_output=True, text=True, check=False).stdout.strip()

    first = ask("container", "inspect", "--format={{.State.Pid}}", container)
    ask("exec", container, "python3", "-I", "-c", KEEPER, path_in(container))
    temporary = f"{STATE}/{container}.{os.getpid()}"
    os.symlink(f"/proc/{first}/root", temporary)
    os.rename(temporary, f"{STATE}/{container}")


def execute(container: str, words: list[str], stdin: int) -> int | None:
    """The exit code; None if the engine is to do it."""
    connection = connect(container)
    if connection is None:
        keep(container)
        connection = connect(container)
    if connection is None:
        return None
    try:
        connection.sendmsg(["\0".join(words).encode()], [(SOL_SOCKET, SCM_RIGHTS, array("i", [stdin, 1, 2]))])
    except OSError:
        return None
    return int(connection.recv(10) or GONE)


def main(arguments: list[str]) -> None:
    code = None
    match arguments:
        case ["exec", "-i", container, _, *_] if not container.startswith("-"):
            code = execute(container, arguments[3:], 0)
        case ["exec", container, _, *_] if not container.startswith("-"):
            code = execute(container, arguments[2:], os.open(os.devnull, os.O_RDONLY))
        case ["mount" | "umount" as command, container] if os.path.exists(f"{STATE}/{container}{path_in(container)}"):
            # The engine counts mounts: what it has not mounted it must not unmount, under a container that runs.
            if command == "mount":
                sys.stdout.write(os.readlink(f"{STATE}/{container}"))
            return
    if code is not None:
        os._exit(code)
    os.execv(PODMAN, [PODMAN, *arguments])


main(sys.argv[1:])

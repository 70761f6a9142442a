# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crashes to provoke: what is wrong with a host, and the reason that is given. docs/troubleshooting.md shows them.

In scripts, variables and reasons {home} is a directory of the test, in which `full` has room for no file, `small` for
none of the size of a module, and `sealed` is read-only. In reasons {python} is the interpreter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

OLDEST = {"2.16": "3.6", "2.19": "3.8", "2.21": "3.9"}
CORES = tuple(OLDEST)

HINT = "set ansible_python_interpreter"
TOO_OLD = f"the Python of this host ({{python}}) is too old for ansible-core {{core}}, which needs {{oldest}}: {HINT}"
NO_ROOM = "set ansible_pipelining to true, or ansible_remote_tmp to another directory"
OWN = 'exec /usr/bin/python3 "$@"'


class Crash(NamedTuple):
    """script: in place of the interpreter. python: the version to use instead, where this machine has it.

    piped: the reason with pipelining, where it is another; None where all is well then. cores: with which it fails.
    """

    what: str
    reason: str
    script: str | bytes = ""
    python: str = ""
    variables: Mapping[str, object] = {}
    piped: str | None = "the same"
    cores: tuple[str, ...] = CORES


def says(*lines: str, code: int) -> str:
    return "\n".join(["cat >&2 <<'END'", *lines, "END", f"exit {code}"])


def interpreter(path: str) -> dict[str, object]:
    return {"ansible_python_interpreter": path}


def become(program: str) -> dict[str, object]:
    return {"ansible_become": True, "ansible_become_exe": program}


CRASHES = (
    Crash(
        "no such interpreter",
        f"{{python}} was not found on the host: {HINT}",
        variables=interpreter("/opt/python9/bin/python9"),
    ),
    Crash(
        "the interpreter is a directory",
        f"{{python}} cannot be run (Permission denied): {HINT}",
        variables=interpreter("/etc"),
    ),
    Crash(
        "the interpreter may not be executed",
        f"{{python}} cannot be run (Permission denied): {HINT}",
        variables=interpreter("/etc/passwd"),
    ),
    Crash("the interpreter is no program", f"{{python}} cannot be run (Exec format error): {HINT}", b"\0\0\0\0\n"),
    Crash(
        "the interpreter is a shim of pyenv",
        f"{{python}} is a shim that leads to no Python (pyenv: python3.13: command not found): {HINT}",
        says(
            "pyenv: python3.13: command not found",
            "",
            "The `python3.13' command exists in these Python versions:",
            "  3.13.0",
            "",
            "Note: See 'pyenv help global' for tips on allowing both",
            "      python2 and python3 to be found.",
            code=127,
        ),
    ),
    Crash(
        "the interpreter is a shim of asdf",
        f"{{python}} is a shim that leads to no Python (No version is set for command python3): {HINT}",
        says("No version is set for command python3", "Consider adding one of the following versions", code=126),
    ),
    Crash("the interpreter is a shell", f"{{python}} is a shell, no Python: {HINT}", 'exec /bin/sh "$@"'),
    Crash(
        "the interpreter is a script that starts another one",
        f"/opt/python9/bin/python9, which {{python}} starts, was not found on the host: {HINT}",
        'exec /opt/python9/bin/python9 "$@"',
    ),
    Crash("Python 2.7", TOO_OLD, python="2.7"),
    Crash("Python 3.6 with ansible-core 2.17 or newer", TOO_OLD, python="3.6", cores=("2.19", "2.21")),
    Crash("Python 3.8 with ansible-core 2.20 or newer", TOO_OLD, python="3.8", cores=("2.21",)),
    Crash(
        "`PYTHONHOME` leads nowhere",
        "{python} does not start: it does not find its own modules (PYTHONHOME, or a broken installation)",
        f"export PYTHONHOME=/nowhere; {OWN}",
    ),
    Crash(
        "a broken module of Python",
        "RuntimeError: this is another json ({python}, exit code 1)",
        f"export PYTHONPATH={{home}}/broken; {OWN}",
    ),
    Crash(
        "no memory",
        "{python} ran out of memory (exit code 1)",
        says("Traceback (most recent call last):", '  File "<stdin>", line 107, in <module>', "MemoryError", code=1),
    ),
    Crash(
        "killed, as the kernel does when memory is out",
        "{python} was killed by signal 9 (SIGKILL), probably for want of memory (exit code 137)",
        "kill -KILL $$",
    ),
    Crash("a segmentation fault", "{python} was killed by signal 11 (SIGSEGV) (exit code 139)", "kill -SEGV $$"),
    Crash("terminated", "{python} was killed by signal 15 (SIGTERM) (exit code 143)", "kill -TERM $$"),
    Crash("a silent end", "{python} ended with exit code 3 and said nothing", "exit 3"),
    Crash("a silent end without an error", "{python} ended with exit code 0 and said nothing", "exit 0"),
    Crash(
        "a silent end, and ssh has something to say",
        "{python} ended with exit code 3 and said nothing",
        "exit 3",
        variables={
            "ssh_says": "ControlSocket /tmp/socket already exists, disabling multiplexing\r\n"
            "Warning: Permanently added 'web' (ED25519) to the list of known hosts.\r\n"
        },
    ),
    Crash(
        "a silent end, and the shell warns of the locale",
        "{python} ended with exit code 4 and said nothing",
        says("bash: warning: setlocale: LC_ALL: cannot change locale (en_US.UTF-8)", code=4),
    ),
    Crash(
        "text in place of a result",
        "no result was printed, but: Welcome to this host ({python}, exit code 0)",
        "echo Welcome to this host",
    ),
    Crash(
        "the login shell is nologin",
        "no directory for temporary files on the host ({home}/.ansible/tmp): This account is currently not available.",
        variables={"ansible_shell_executable": "/usr/sbin/nologin"},
        piped="This account is currently not available. ({python}, exit code 1)",
    ),
    Crash(
        "no sudo",
        "/nowhere/sudo was not found on the host: install it, or log in as root without become"
        " (ephemeral_ports_become=false)",
        variables=become("/nowhere/sudo"),
    ),
    Crash(
        "not in the sudoers file",
        "deploy is not in the sudoers file. ({python}, exit code 1)",
        variables=become("{home}/not-in-sudoers"),
    ),
    Crash(
        "no home directory",
        "no directory for temporary files on the host (/proc/deploy/.ansible/tmp): mkdir: cannot create directory "
        f"'/proc/deploy': No such file or directory; {NO_ROOM}",
        variables={"ansible_remote_tmp": "/proc/deploy/.ansible/tmp"},
        piped=None,
    ),
    Crash(
        "no space for the directory of Ansible",
        f"no space left on the host: {{home}}/full/tmp; {NO_ROOM}",
        variables={"ansible_remote_tmp": "{home}/full/tmp"},
        piped=None,
    ),
    Crash(
        "no space for the module",
        f"no space left on the host: {{home}}/small/tmp; {NO_ROOM}",
        variables={"ansible_remote_tmp": "{home}/small/tmp"},
        piped=None,
    ),
    Crash(
        "no space for the module on the controller itself",
        f"no space left on the host: {{home}}/small/tmp; {NO_ROOM}",
        variables={"ansible_remote_tmp": "{home}/small/tmp", "ansible_connection": "local"},
        piped=None,
    ),
    Crash(
        "no space to unpack the module",
        "no space left on the host: its directory for temporary files (TMPDIR, else /tmp)",
        f"export TMPDIR={{home}}/small; {OWN}",
    ),
    Crash(
        "the directory of Ansible is read-only",
        f"read-only on the host: {{home}}/sealed/tmp; {NO_ROOM}",
        variables={"ansible_remote_tmp": "{home}/sealed/tmp"},
        piped=None,
    ),
    Crash(
        "nobody listens",
        "Failed to connect to the host via ssh: ssh: connect to host HOST port 22: Connection refused",
        variables={
            "ssh_unreachable": "Warning: Permanently added 'web' (ED25519) to the list of known hosts.\r\n"
            "ssh: connect to host {name} port 22: Connection refused"
        },
    ),
)

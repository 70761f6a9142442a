# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task has failed. tests/integration/crashes provokes what is recorded here."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _task_result as task_result

PYTHON = "/usr/bin/python3"
LEADS = [
    "MODULE FAILURE\nSee stdout/stderr for the exact error",
    "The module failed to execute correctly, you probably need to set the interpreter.\nSee stdout/stderr",
    "Task failed: Action failed: Module result deserialization failed: No start of json char found",
    f"The module interpreter '{PYTHON}' was not found.",
    "",
]
SSH = "Shared connection to web1 closed.\r\n"
TRACEBACK = 'Traceback (most recent call last):\n  File "<stdin>", line 107, in <module>\n'
HINT = ": set ansible_python_interpreter"
NO_ROOM = "; set ansible_pipelining to true, or ansible_remote_tmp to another directory"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Task failed: Action failed: No space.", "No space."),
        ("Task failed: Failed to connect to the host via ssh", "Failed to connect to the host via ssh"),
        ("No space. Task failed: really", "No space. Task failed: really"),
        ("Task failed: ", "Task failed: "),
        ("", "no reason given"),
        (None, "no reason given"),
        (
            "mkdir: cannot create directory '/a/ansible-tmp-1.2-3-4': No space left on device",
            f"no space left on the host: /a{NO_ROOM}",
        ),
        # Of a module of ours: its own words.
        ("a reason\n\nFile '/a/ansible-tmp-1.2-3-4/b.py'", "a reason\n\nFile '/a/ansible-tmp-1.2-3-4/b.py'"),
        ("No space left on device: '/etc/a'; all is as before", "No space left on device: '/etc/a'; all is as before"),
    ],
)
def test_what_ansible_puts_before_each_reason_goes(message: str | None, reason: str) -> None:
    assert task_result.reason_given({"msg": message}) == reason


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("code", "printed", "reason"),
    [
        (127, f"/bin/sh: 1: {PYTHON}: not found\n", f"{PYTHON} was not found on the host{HINT}"),
        (127, f"bash: line 1: {PYTHON}: No such file or directory\n", f"{PYTHON} was not found on the host{HINT}"),
        (
            127,
            "/bin/sh: 1: sudo: not found\n",
            (
                "sudo was not found on the host: install it, or log in as root without become "
                "(ephemeral_ports_become=false)"
            ),
        ),
        (
            127,
            f"{PYTHON}: line 2: exec: /opt/python: not found\n",
            f"/opt/python, which {PYTHON} starts, was not found on the host{HINT}",
        ),
        (126, f"/bin/sh: 1: {PYTHON}: Permission denied\n", f"{PYTHON} cannot be run (Permission denied){HINT}"),
        (
            127,
            (
                "pyenv: python3.13: command not found\n\nNote: See 'pyenv help global' for tips on allowing both\n"
                "      python2 and python3 to be found.\n"
            ),
            f"{PYTHON} is a shim that leads to no Python (pyenv: python3.13: command not found){HINT}",
        ),
        (
            1,
            '  File "<stdin>", line 3\nSyntaxError: future feature annotations is not defined\n',
            (
                f"the Python of this host ({PYTHON}) is too old for ansible-core {task_result.CORE}, which needs "
                f"{task_result.OLDEST}{HINT}"
            ),
        ),
        (
            1,
            (
                "Fatal Python error: init_fs_encoding: failed\nModuleNotFoundError: No module named 'encodings'\n\n"
                "Current thread 0x0 (most recent call first):\n  <no Python frame>\n"
            ),
            f"{PYTHON} does not start: it does not find its own modules (PYTHONHOME, or a broken installation)",
        ),
        (
            137,
            "Killed\n",
            f"{PYTHON} was killed by signal 9 (SIGKILL), probably for want of memory (exit code 137)",
        ),
        (-11, "", f"{PYTHON} was killed by signal 11 (SIGSEGV) (exit code -11)"),
        (1, f"{TRACEBACK}MemoryError\n", f"{PYTHON} ran out of memory (exit code 1)"),
        (1, f"{TRACEBACK}a.BError: c\nnote: d\n", f"a.BError: c ({PYTHON}, exit code 1)"),
        (
            1,
            f"{TRACEBACK}OSError: [Errno 28] No space left on device: '/srv/tmp/ansible_a.b_payload_x1/z.zip'\n",
            "no space left on the host: /srv/tmp/z.zip",
        ),
        (
            1,
            f"{TRACEBACK}OSError: [Errno 28] No space left on device\n",
            "no space left on the host: its directory for temporary files (TMPDIR, else /tmp)",
        ),
        (1, "deploy is not in the sudoers file.\n", f"deploy is not in the sudoers file. ({PYTHON}, exit code 1)"),
        (0, "Welcome\n", f"no result was printed, but: Welcome ({PYTHON}, exit code 0)"),
        (3, "", f"{PYTHON} ended with exit code 3 and said nothing"),
        (
            3,
            "bash: warning: setlocale: LC_ALL: cannot change locale (en_US.UTF-8)\n",
            f"{PYTHON} ended with exit code 3 and said nothing",
        ),
        (
            2,
            '/root/.ansible/tmp/ansible-tmp-1.2-3-4/AnsiballZ_a.py: 4: Syntax error: "(" unexpected\n',
            f"{PYTHON} is a shell, no Python{HINT}",
        ),
    ],
)
def test_a_crash(lead: str, terminal: bool, code: int, printed: str, reason: str) -> None:
    """Whichever ansible-core, with pipelining and without: there, all is on stdout, and stderr is ssh's."""
    on_terminal = {"module_stdout": printed.replace("\n", "\r\n"), "module_stderr": SSH}
    result = on_terminal if terminal else {"module_stderr": printed, "module_stdout": ""}
    assert task_result.reason_given({"msg": lead, "rc": code, **result}, PYTHON) == reason


def test_an_interpreter_that_is_not_known_is_not_named() -> None:
    result = {"rc": 127, "module_stdout": "", "module_stderr": "/bin/sh: 1: nice: not found\n"}
    assert task_result.reason_given(result) == "nice was not found on the host"


def test_ssh_has_the_word_where_nobody_else_has() -> None:
    said = "ControlSocket /tmp/x already exists, disabling multiplexing\r\n"
    result = {"msg": LEADS[0], "rc": 255, "module_stdout": "", "module_stderr": said}
    assert task_result.reason_given(result).startswith("ControlSocket /tmp/x already exists")


NO_DIRECTORY = (
    "Failed to create temporary directory. In some cases, you may have been able to authenticate and did not have "
    'permissions on the target directory. Failed command was: ( umask 77 && mkdir -p "` echo ~/.ansible/tmp `"&& mkdir '
    '"` echo ~/.ansible/tmp/ansible-tmp-1.2-3-4 `" ), exited with result 1'
)


NO_STREAM = "Premature end of stream waiting for become success."


@pytest.mark.parametrize(
    ("message", "stderr", "reason"),
    [
        (NO_DIRECTORY, "", f"no directory for temporary files on the host (~/.ansible/tmp): is it writable?{NO_ROOM}"),
        (
            NO_DIRECTORY,
            "mkdir: cannot create directory '/home/a/.ansible': Permission denied\n",
            (
                "no directory for temporary files on the host (~/.ansible/tmp): mkdir: cannot create directory "
                f"'/home/a/.ansible': Permission denied{NO_ROOM}"
            ),
        ),
        (
            f"{NO_DIRECTORY}, stdout output: This account is currently not available.\n",
            "",
            "no directory for temporary files on the host (~/.ansible/tmp): This account is currently not available.",
        ),
        (
            NO_DIRECTORY,
            "mkdir: cannot create directory '/home/a/.ansible/tmp/ansible-tmp-1.2-3-4': Read-only file system",
            f"read-only on the host: /home/a/.ansible/tmp{NO_ROOM}",
        ),
        (
            (
                "failed to transfer file to /tmp/x /root/.ansible/tmp/ansible-tmp-1.2-3-4/AnsiballZ_a.py:\n\n"
                "dd: writing to '/root/.ansible/tmp/ansible-tmp-1.2-3-4/AnsiballZ_a.py': No space left on device\n"
            ),
            "",
            f"no space left on the host: /root/.ansible/tmp{NO_ROOM}",
        ),
        (
            "failed to transfer file to /tmp/x /root/.ansible/tmp/ansible-tmp-1.2-3-4/AnsiballZ_a.py:\n\nscp: Failure",
            "",
            "the module could not be copied to the host: scp: Failure",
        ),
        (
            (
                "Failed to connect to the host via ssh: Warning: Permanently added 'web1' (ED25519) to the list of "
                "known hosts.\r\nssh: connect to host web1 port 22: Connection refused"
            ),
            "",
            "Failed to connect to the host via ssh: ssh: connect to host web1 port 22: Connection refused",
        ),
        (
            f"{NO_STREAM}\n>>> Standard Error\n/bin/sh: 1: sudo: not found",
            "",
            (
                "sudo was not found on the host: install it, or log in as root without become "
                "(ephemeral_ports_become=false)"
            ),
        ),
        (
            f"{NO_STREAM}\n>>> Standard Error\n/bin/sh: 1: sudo: Permission denied",
            "",
            "become failed: /bin/sh: 1: sudo: Permission denied",
        ),
        (
            NO_STREAM,
            "",
            NO_STREAM,
        ),
        (
            "Ansible requires Python 3.9 or newer on the target. Current version: 3.8.18",
            "",
            (
                f"the Python of this host ({PYTHON}) is too old for ansible-core {task_result.CORE}, which needs "
                f"{task_result.OLDEST}{HINT}"
            ),
        ),
    ],
)
def test_what_ansible_says_before_a_module_runs(message: str, stderr: str, reason: str) -> None:
    assert task_result.reason_given({"msg": message, "stderr": stderr}, PYTHON) == reason


def test_the_reason_is_the_first_paragraph_of_the_whole() -> None:
    assert task_result.reason_alone("\nkilled\n\nline\n\nline") == "killed"

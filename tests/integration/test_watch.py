# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ephemeral-ports on hosts that are private namespaces, as its user and as the timer run it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import environments
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

from .private_host import Host, all_ports_taken, private_host

# What makes the file, in this order, as far as it goes through the disk.
CALLS = ("openat", "fchmod", "write", "rename", "unlink", "close")
TIMEOUT_S = 60
# That of the tests may lie where only root comes.
EVERYBODYS_PYTHON = "/usr/bin/python3"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with private_host(tmp_path) as one:
        yield one


@pytest.fixture
def command(tmp_path: Path) -> Path:
    return make_command(tmp_path, sys.executable)


def make_command(directory: Path, python: str) -> Path:
    file = directory / "ephemeral-ports"
    file.write_bytes(build_application("_usage.watch.start", "1.0.0", python))
    file.chmod(0o755)
    return file


def test_the_verdict_and_the_status_are_those_of_the_host(host: Host, command: Path) -> None:
    well = host.run(str(command), check=False)
    assert (well.returncode, well.stdout.partition(":")[0]) == (0, "OK")
    with all_ports_taken(host):
        ill = host.run(str(command), check=False)
        usage = json.loads(host.run(str(command), "--json", check=False).stdout)
        one = host.run(str(command), "--destination", "198.18.0.1:9000", check=False)
    assert ill.returncode == one.returncode == 2
    assert ill.stdout.startswith("EXHAUSTED: no local port is left towards 198.18.0.1:9000")
    assert (usage["kind"], usage["level"]) == ("usage", "exhausted")


def test_metrics_follow_the_host_at_once(host: Host, command: Path, tmp_path: Path) -> None:
    """A run that took what the one before it wrote must not be blind."""
    file = tmp_path / "a.prom"

    def level() -> str:
        host.run(str(command), "--metrics", str(file))
        (found,) = re.findall(r'^ephemeral_ports_level\{namespace="own"\} (\S+)$', file.read_text(), re.MULTILINE)
        return str(found)

    assert [level(), level()] == ["0", "0"]
    with all_ports_taken(host):
        assert level() == "3"


# A command beside a process in another network namespace, which ends with it, as all do whose first one has ended.
BESIDE_ANOTHER = 'coproc unshare --net sh -c "echo; exec sleep infinity"; read -r -u "${COPROC[0]}"; exec "$@"'


def test_a_user_without_privilege_is_told_what_was_not_asked(host: Host) -> None:
    # Other tests have namespaces, too.
    if not Path(EVERYBODYS_PYTHON).exists():
        pytest.skip("without a Python of the system, a user without privilege may have none")
    alone = ["unshare", "--pid", "--mount", "--mount-proc", "--fork", "bash", "-c", BESIDE_ANOTHER, "bash"]
    nobody = [*alone, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        command = make_command(Path(directory), EVERYBODYS_PYTHON if nobody else sys.executable)
        done = host.run(*nobody, str(command), "--namespaces", "all", check=False)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert not nobody or "root with CAP_SYS_ADMIN" in done.stdout


def test_the_live_view_draws_ends_and_leaves_the_screen(host: Host, command: Path) -> None:
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*host.enter, str(command), "--watch", "0.5"], stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        drawn = read_until(controller, b"\x1b[J", times=2)
        process.terminate()
        drawn += read_until(controller, b"\x1b[?1049l")
        assert process.wait(TIMEOUT_S) == 0
    os.close(controller)
    assert drawn.startswith(b"\x1b[?1049h")
    assert drawn.count(b"OK: ") >= 2


def read_until(descriptor: int, wanted: bytes, times: int = 1) -> bytes:
    found = b""
    while found.count(wanted) < times:
        assert select.select([descriptor], [], [], TIMEOUT_S)[0], found
        found += os.read(descriptor, 65536)
    return found


@pytest.mark.parametrize("call", CALLS)
def test_a_run_that_is_killed_leaves_the_old_file_or_the_new_one(
    host: Host, command: Path, tmp_path: Path, call: str
) -> None:
    if not shutil.which("strace"):
        pytest.skip("no strace")
    directory = tmp_path / "metrics"
    directory.mkdir()
    file = directory / "a.prom"
    old = "old 1\n"
    file.write_text(old)
    killed = 0
    for number in range(1, 200):
        (directory / ".a.prom.new").write_text("of a run that was killed")
        watch = ["strace", "-qq", "-o", "/dev/null", "-f", "-P", str(directory), "-P", str(file)]
        watch += ["-P", str(directory / ".a.prom.new"), "-P", str(directory / ".a.prom.holds")]
        watch += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
        done = host.run(*watch, str(command), "--metrics", str(file), check=False)
        text = file.read_text()
        assert text == old or re.search(r"^ephemeral_ports_info\{.*\} 1\n\Z", text, re.MULTILINE), text
        if done.returncode == 0:
            break
        assert done.returncode in (-9, 137), done.stderr
        killed += 1
        file.write_text(old)
    assert done.returncode == 0, done.stderr
    assert killed
    assert {one.name for one in directory.iterdir()} <= {"a.prom", ".a.prom.holds"}


@pytest.mark.parametrize("version", ["3.6", "3.9", "3.13"])
def test_it_runs_with_the_pythons_of_managed_hosts(version: str, host: Host, command: Path) -> None:
    python = environments.find_python([version])
    if python is None:
        pytest.skip(f"no Python {version} on PATH or in pyenv")
    done = host.run(str(python), "-I", "-S", str(command), "--metrics", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ephemeral_ports_run_success 1" in done.stdout

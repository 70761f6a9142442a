# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make look` asks ansible-playbook for, and which hosts it refuses: with a playbook that tells its arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

LOOK = Path(__file__).resolve().parents[2] / "scripts" / "look"
TELL = '#!/bin/sh\necho "$*"\necho "python: $ANSIBLE_PYTHON_INTERPRETER"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(LOOK, tmp_path / "scripts")
    playbook = tmp_path / ".venv" / "bin" / "ansible-playbook"
    playbook.parent.mkdir(parents=True)
    playbook.write_text(TELL)
    playbook.chmod(0o755)
    return tmp_path


def look(checkout: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    without = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [checkout / "scripts" / "look", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**without, **variables},
    )


@pytest.mark.parametrize("host", ["web1.example.net", "deploy@192.0.2.7", "2001:db8::7", "deploy@::7", "web1:2222"])
def test_a_host_is_an_inventory_of_its_own(checkout: Path, host: str) -> None:
    done = look(checkout, host)
    assert done.stdout == f"netops.ephemeral_ports.diagnose --inventory {host},\npython: auto_silent\n", done.stderr


@pytest.mark.parametrize("words", [(), ("",)])
def test_without_a_host_it_is_this_machine(checkout: Path, words: tuple[str, ...]) -> None:
    told = look(checkout, *words).stdout.splitlines()
    assert told[0].startswith("netops.ephemeral_ports.diagnose --inventory localhost, --connection local")
    assert told[1] == f"python: {checkout}/.venv/bin/python"
    assert ("timewait_diagnose_namespaces=all" in told[0]) == (os.geteuid() == 0) == (len(told) == 2)


@pytest.mark.parametrize("words", [(), ("web1",)])
def test_an_interpreter_of_the_users_counts(checkout: Path, words: tuple[str, ...]) -> None:
    assert "python: /opt/python3" in look(checkout, *words, ANSIBLE_PYTHON_INTERPRETER="/opt/python3").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("web1", "web2"), "HOST is 'web1 web2': one name or address; for several hosts run"),
        (("web1,web2",), "HOST is 'web1,web2': one name or address"),
        (("deploy@web1:22",), "HOST is 'deploy@web1:22': HOST=USER@NAME has no port; name it by Port in ~/.ssh/config"),
        (("-v",), "HOST is '-v': as ssh takes it, such as web1.example.net or deploy@192.0.2.7"),
        (("web[1:9]",), "HOST is 'web[1:9]': as ssh takes it"),
        (("web1;id",), "HOST is 'web1;id': as ssh takes it"),
        (("deploy@::1;id",), "HOST is 'deploy@::1;id': as ssh takes it"),
        (("deploy@",), "HOST is 'deploy@': as ssh takes it"),
        (("[2001:db8::7]:22",), "HOST is '[2001:db8::7]:22': as ssh takes it"),
        (("web1:",), "HOST is 'web1:': a number follows the colon, the port, as in web1.example.net:2222"),
        (("web1:ssh",), "HOST is 'web1:ssh': a number follows the colon"),
    ],
)
def test_what_is_no_host_is_refused_by_name(checkout: Path, words: tuple[str, ...], message: str) -> None:
    done = look(checkout, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(("host", "login"), [("web1", "web1"), ("web1:2222", "-p 2222 web1"), ("::7", "::7")])
def test_a_host_that_is_not_reached_is_one_for_ssh(checkout: Path, host: str, login: str) -> None:
    (checkout / ".venv" / "bin" / "ansible-playbook").write_text("#!/bin/sh\nexit 4\n")
    done = look(checkout, host)
    assert done.returncode == 4
    assert done.stderr.startswith(f"{host} was not reached: let ssh {login} work by itself first")


@pytest.mark.parametrize("code", [2, 3])
def test_another_failure_is_passed_on(checkout: Path, code: int) -> None:
    (checkout / ".venv" / "bin" / "ansible-playbook").write_text(f"#!/bin/sh\nexit {code}\n")
    done = look(checkout, "web1")
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(("words", "asked"), [((), "scripts/look"), (("HOST=web1",), "scripts/look 'web1'")])
def test_the_machines_own_name_in_the_environment_is_no_host(words: tuple[str, ...], asked: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "look", *words]
    environment = {**os.environ, "HOST": "this-machine", "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=LOOK.parents[1], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[-1].strip() == asked, done.stderr

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are forks of one process are as runs that start an interpreter each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .ansible_run import ansible, end_servers
from .private_host import private_host

DUMP = ("config", "dump", "--only-changed", "--format=json")
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ lookup('ansible.builtin.env', 'WHOSE') }}, {{ lookup('ansible.builtin.pipe', 'pwd') }}, {{ group }}"
    - ansible.builtin.fail:
"""


def started(*arguments: str, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ansible", *arguments],
        cwd=directory, env=environment, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def both(*arguments: str, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    wanted = started(*arguments, environment=environment, directory=directory)
    for _again in range(3):  # from the second on of a process that has the configuration
        forked = ansible(*arguments, environment=environment, directory=directory)
        assert (forked.returncode, forked.stdout, forked.stderr) == (wanted.returncode, wanted.stdout, wanted.stderr)
    return wanted


def plain(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "ANSIBLE_HOME": str(tmp_path / "home")}


def test_each_reads_its_own_configuration(tmp_path: Path) -> None:
    """From files and variables, and the one before leaves nothing behind."""
    environment = plain(tmp_path)
    for name, forks in (("seven", 7), ("nine", 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ansible.cfg").write_text(f"[defaults]\nforks = {forks}\ninventory = {name}\n")
        done = both(*DUMP, environment={**environment, f"ANSIBLE_{name}": "1"}, directory=tmp_path / name)
        assert f'"value": {forks}' in done.stdout
    done = both(*DUMP, environment={**environment, "ANSIBLE_TIMEOUT": "33"}, directory=tmp_path)
    assert "DEFAULT_TIMEOUT" in done.stdout
    assert "FORKS" not in done.stdout
    (tmp_path / "seven" / "ansible.cfg").write_text("[defaults\n")
    assert both(*DUMP, environment={**environment, "ANSIBLE_seven": "1"}, directory=tmp_path / "seven").returncode


def test_each_says_what_is_wrong_with_plugins(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('broken')\n")
    (tmp_path / "play.yml").write_text("- hosts: localhost\n  gather_facts: false\n")
    environment = {**plain(tmp_path), "ANSIBLE_CALLBACK_PLUGINS": str(tmp_path)}
    done = both("playbook", "play.yml", environment=environment, directory=tmp_path)
    assert "broken" in done.stderr


def test_each_has_a_directory_of_its_own_and_removes_it(tmp_path: Path) -> None:
    arguments = ("--connection=local", "--inventory=localhost,", "--module-name=copy", "all", "--args")
    environment = {**plain(tmp_path), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    for text in ("one", "two", "three"):
        copy = f"content={text} dest={tmp_path}/copied"
        done = ansible("adhoc", *arguments, copy, environment=environment, directory=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "copied").read_text() == text
    end_servers()
    assert not [*(tmp_path / "home" / "tmp").iterdir()]
    assert {one.name for one in tmp_path.iterdir()} == {"copied", "home"}


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C.UTF-8", "PYTHONPATH": "/elsewhere"}])
def test_it_runs_where_and_as_it_is_told(tmp_path: Path, locale: dict[str, str]) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("group: everybody\n")
    for whose in ("ours", "theirs"):
        environment = {**plain(tmp_path), "WHOSE": whose, **locale}
        done = both("playbook", "-v", "play.yml", environment=environment, directory=tmp_path)
        assert f"{whose}, {tmp_path}, everybody" in done.stdout
        assert done.returncode == 2
    assert both("playbook", "no.yml", environment=environment, directory=tmp_path).returncode
    assert both("playbook", "--no-such-option", environment=environment, directory=tmp_path).returncode


def test_it_runs_on_the_host_that_is_named(tmp_path: Path) -> None:
    task = "-a", "readlink /proc/self/ns/net /proc/self/ns/mnt"
    with private_host(tmp_path) as host:
        if not host.namespaces:
            pytest.skip("takes root")
        arguments = ("adhoc", "--connection=local", "--inventory=localhost,", *task, "all")
        environment = {**plain(tmp_path), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
        done = ansible(*arguments, namespaces=host.namespaces, environment=environment)
        spaces = host.run("readlink", "/proc/self/ns/net", "/proc/self/ns/mnt").stdout
        assert spaces in done.stdout


def test_one_that_takes_too_long_is_ended_and_the_next_runs(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        ansible("playbook", "--version", environment=plain(tmp_path), timeout=0.001)
    assert ansible("playbook", "--version", environment=plain(tmp_path)).returncode == 0

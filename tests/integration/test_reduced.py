# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection works with only meta, plugins, roles and playbooks, as some ways of packaging leave it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .consumer import copy_collection
from .private_host import FIXED, PLAIN, Host, Run, private_host

PARTS = ("meta", "playbooks", "plugins", "roles")


@pytest.fixture
def host(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    for part in PARTS:
        copy_collection(installed / part, tmp_path / "ansible_collections/netops/ephemeral_ports" / part)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", sys.executable)
    with private_host(tmp_path) as private:
        yield private


def test_playbooks(host: Host) -> None:
    play = player(host)
    assert play("diagnose").said("OK:")
    assert play("remediate").changed == 1
    assert host.sysctls() == FIXED
    assert play("remediate").changed == 0
    assert play("rollback").changed == 1
    assert (host.sysctls(), host.text()) == (PLAIN, None)


def player(host: Host) -> Callable[[str], Run]:
    options = ("--inventory=localhost,", "--connection=local", "--extra-vars=ephemeral_ports_become=false")

    def play(name: str) -> Run:
        return Run(host.playbook(f"netops.ephemeral_ports.{name}", *options)).passed()

    return play

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loaders there are, by the programs themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import PROCPS, SYSTEMD, Loader

ELF = b"\x7fELF\0"


def find(monkeypatch: pytest.MonkeyPatch, **programs: Path) -> list[Loader]:
    by_name = {name: pair for name, _paths, *pair in loaders._PROGRAMS}
    names = {"systemd": SYSTEMD, "procps": PROCPS}
    table: list[Any] = [(names[one], (str(path),), *by_name[names[one]]) for one, path in programs.items()]
    monkeypatch.setattr(loaders, "_PROGRAMS", table)
    return loaders.find_loaders()


def program(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_a_version_stands_in_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = program(tmp_path / "a", ELF + b"\0libsystemd-shared-252-32.el9.so\0")
    procps = program(tmp_path / "b", ELF + b"\0%s from %s\n\0procps-ng 3.3.17\0procps@freelists.org\0")
    monkeypatch.setattr(loaders, "_ask", lambda path: pytest.fail(f"{path} was started"))
    found = find(monkeypatch, systemd=systemd, procps=procps)
    assert found == [Loader(SYSTEMD, (252,)), Loader(PROCPS, (3, 3, 17))]


@pytest.mark.parametrize(
    "content",
    [
        b'#!/bin/sh\n# procps-ng 3.0\0\n[ "$*" = --version ] && echo sysctl from procps-ng 4.0.2\n',
        b"#!/bin/sh\necho procps version 4.0.2\n" + b"#" * loaders._LARGEST + b"\nprocps-ng 3.0\0\n",
    ],
    ids=["it is no program", "it is large"],
)
def test_where_it_does_not_the_program_is_asked(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(monkeypatch, procps=program(tmp_path / "sysctl", content)) == [Loader(PROCPS, (4, 0, 2))]


@pytest.mark.parametrize("content", [ELF, b"#!/bin/sh\necho BusyBox v1.36.1\n"], ids=["broken", "another"])
def test_what_is_no_loader_counts_for_none(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, procps=program(tmp_path / "sysctl", content)) == []


def test_what_cannot_be_read_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "sysctl", b"#!/bin/sh\necho procps-ng 4.0.2\n")
    monkeypatch.setattr(loaders, "open", lambda *_: os.open(tmp_path / "absent", os.O_RDONLY), raising=False)
    assert find(monkeypatch, procps=path) == [Loader(PROCPS, (4, 0, 2))]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built once for all runs, and when it is built anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._kept import keep


class Builder:
    def __init__(self, home: Path) -> None:
        self.source = home / "source.py"
        self.source.write_text("1")
        self.place = home / "home" / "netops.ephemeral_ports"
        self.times = 0

    def build(self) -> bytes:
        self.times += 1
        return f"built {self.times}".encode()

    def kept(self) -> bytes:
        return keep("it", [self.source], self.build)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Builder:
    monkeypatch.setattr(constants, "ANSIBLE_HOME", str(tmp_path / "home"))
    return Builder(tmp_path)


def test_it_is_built_once(builder: Builder) -> None:
    assert [builder.kept(), builder.kept()] == [b"built 1", b"built 1"]


def test_it_is_built_anew_when_a_source_has_changed(builder: Builder) -> None:
    builder.kept()
    builder.source.write_text("2")
    assert builder.kept() == b"built 2"
    assert len([*builder.place.iterdir()]) == 1


def test_what_others_could_have_written_is_not_used(builder: Builder) -> None:
    builder.kept()
    (file,) = builder.place.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o620)
    assert builder.kept() == b"built 2"


def test_a_second_name_of_a_file_is_not_used(builder: Builder) -> None:
    builder.kept()
    (file,) = builder.place.iterdir()
    (builder.place / "other").hardlink_to(file)
    assert builder.kept() == b"built 2"


def test_without_a_home_it_is_built(builder: Builder) -> None:
    builder.place.parent.write_text("no directory")
    assert [builder.kept(), builder.kept()] == [b"built 1", b"built 2"]

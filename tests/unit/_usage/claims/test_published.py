# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.claims import published


def write(path: Path, what: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(what if isinstance(what, str) else json.dumps(what))


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(one.by, str(one.ports), one.where) for one in published.find(str(root))]


def test_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_docker(tmp_path: Path) -> None:
    bindings = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostPort": "9000-9002"}], "53/udp": None}
    write(tmp_path / "var/lib/docker/containers/a/hostconfig.json", {"PortBindings": bindings})
    write(tmp_path / "var/lib/docker/containers/b/hostconfig.json", {"PortBindings": {"1/tcp": [{"HostPort": ""}]}})
    write(tmp_path / "etc/docker/daemon.json", {"data-root": "/srv/docker"})
    write(tmp_path / "srv/docker/containers/c/hostconfig.json", {"PortBindings": {"1/tcp": [{"HostPort": "7000"}]}})
    assert found(tmp_path) == [("docker", "7000", "/srv/docker"), ("docker", "8080,9000-9002", "/var/lib/docker")]


def test_cni(tmp_path: Path) -> None:
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}, {"hostPort": 0}, {"containerPort": 1}]
    write(tmp_path / "var/lib/cni/results/bridge-1-eth0", {"capabilityArgs": {"portMappings": mappings}})
    write(tmp_path / "var/lib/cni/results/loopback-1-lo", {"capabilityArgs": None})
    assert found(tmp_path) == [("cni", "8080", "/var/lib/cni/results")]


@pytest.mark.parametrize(
    "what",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        '"x"',
        {"PortBindings": []},
        {"PortBindings": {"1": {}}},
        {"PortBindings": {"1/tcp": [{"HostPort": "http"}, 1, {"HostPort": [1]}]}},
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, what: object) -> None:
    write(tmp_path / "var/lib/docker/containers/a/hostconfig.json", what)
    write(tmp_path / "var/lib/cni/results/x", what)
    write(tmp_path / "etc/docker/daemon.json", what)
    assert found(tmp_path) == []

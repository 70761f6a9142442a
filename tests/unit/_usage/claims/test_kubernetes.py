# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.claims import kubernetes

UNIT = """[Service]
ExecStart=/usr/local/bin/k3s \\
    server \\
\t'--service-node-port-range' \\
\t'20000-25000' \\
"""
MANIFEST = """spec:
  containers:
  - command:
    - kube-apiserver
    # --service-node-port-range=1-2
    - --service-node-port-range=31000-31999
"""


def found(root: Path, *listening: int, chains: bool = False) -> list[tuple[str, str]]:
    return [(str(one.ports), one.where) for one in kubernetes.find(listening, chains, str(root))]


def test_no_node(tmp_path: Path) -> None:
    (tmp_path / "etc/kubernetes").mkdir(parents=True)  # kubectl brings it
    assert found(tmp_path, 22, 443) == []


@pytest.mark.parametrize("mark", kubernetes._MARKS)
def test_marks(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).mkdir(parents=True)
    assert found(tmp_path) == [("30000-32767", "")]


def test_listeners_and_chains(tmp_path: Path) -> None:
    for port in (10249, 10250, 10256):
        assert found(tmp_path, 22, port) == [("30000-32767", "")]
    assert found(tmp_path, chains=True) == [("30000-32767", "")]


@pytest.mark.parametrize(
    ("path", "text", "ports"),
    [
        ("etc/kubernetes/manifests/kube-apiserver.yaml", MANIFEST, "31000-31999"),
        ("etc/rancher/k3s/config.yaml", 'service-node-port-range: "20000-22767"\n', "20000-22767"),
        ("etc/rancher/k3s/config.yaml.d/10.yaml", "service-node-port-range: 20000+100\n", "20000-20099"),
        ("etc/systemd/system/k3s.service", UNIT, "20000-25000"),
        ("etc/rancher/rke2/config.yaml", "kube-apiserver-arg:\n- service-node-port-range=9000-9999\n", "9000-9999"),
        ("var/snap/microk8s/current/args/kube-apiserver", "--service-node-port-range=20-21\n", "20-21"),
        ("etc/k0s/k0s.yaml", "spec:\n api:\n  extraArgs:\n   service-node-port-range: 40000-40001\n", "40000-40001"),
    ],
)
def test_the_configured_range(tmp_path: Path, path: str, text: str, ports: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert found(tmp_path, 10250) == [(ports, str(tmp_path / path))]


@pytest.mark.parametrize("text", ["service-node-port-range: 32767-30000", "service-node-port-range: 70000-70001", ""])
def test_a_range_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "etc/rancher/k3s").mkdir(parents=True)
    (tmp_path / "etc/rancher/k3s/config.yaml").write_text(text)
    assert found(tmp_path, 10250) == [("30000-32767", "")]

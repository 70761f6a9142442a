# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a process is, by paths of cgroups as engines and systemd make them."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.owners import Files, Owner, owner_of

C = "4f" * 32
SHORT = C[:12]
UID = "0f3c6d1e-7a52-4c0e-9b1d-2f6a5c8e7d90"
WITH_UNDERSCORES = UID.replace("-", "_")
STATIC = "d41d8cd98f00b204e9800998ecf8427e"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{WITH_UNDERSCORES}.slice"
ROOTLESS = f"/user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"
HOME = pwd.getpwuid(os.getuid()).pw_dir


def files(at: dict[str, Any] | None = None) -> Files:
    """A host with these files."""
    at = at or {}

    def read(path: str) -> str:
        if path not in at:
            raise FileNotFoundError(path)
        return at[path] if isinstance(at[path], str) else json.dumps(at[path])

    def names(path: str) -> list[str]:
        inside = {one[len(path) + 1 :].partition("/")[0] for one in at if one.startswith(path + "/")}
        if not inside:
            raise FileNotFoundError(path)
        return list(inside)

    return Files(read, names)


def unit(name: str) -> Owner:
    return Owner("unit", name, name)


NOTHING = files()


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (f"/libpod_parent/libpod-{C}", Owner("podman", SHORT, C)),
        (f"/machine.slice/libpod-{C}.scope", Owner("podman", SHORT, C)),
        (f"/machine.slice/libpod-{C}.scope/container/system.slice/nginx.service", Owner("podman", SHORT, C)),
        (f"/machine.slice/machine-libpod_pod_{C}.slice/libpod-{C}.scope", Owner("podman", SHORT, C)),
        (f"{ROOTLESS}/user.slice/libpod-{C}.scope/container", Owner("podman", SHORT, C)),
        (f"/docker/{C}", Owner("docker", SHORT, C)),
        (f"/docker/{C}/init.scope", Owner("docker", SHORT, C)),
        (f"/system.slice/docker-{C}.scope", Owner("docker", SHORT, C)),
        (f"/default/{C}", Owner("containerd", SHORT, C)),
        (f"/system.slice/nerdctl-{C}.scope", Owner("containerd", SHORT, C)),
        (f"/system.slice/crio-{C}.scope", Owner("cri-o", SHORT, C)),
        (f"/kubepods/besteffort/pod{UID}/{C}", Owner("pod", UID, UID)),
        (f"/kubepods/pod{UID}", Owner("pod", UID, UID)),
        (f"/kubepods/burstable/pod{UID}/crio-{C}", Owner("pod", UID, UID)),
        (f"{BURSTABLE}/cri-containerd-{C}.scope", Owner("pod", UID, UID)),
        (f"{BURSTABLE}/crio-{C}.scope", Owner("pod", UID, UID)),
        (f"{BURSTABLE}/docker-{C}.scope", Owner("pod", UID, UID)),
        (f"/kubelet.slice/kubelet{BURSTABLE[1:].replace('/', '/kubelet-')}/crio-{C}.scope", Owner("pod", UID, UID)),
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod{WITH_UNDERSCORES}.slice:cri-containerd:{C}",
            Owner("pod", UID, UID),
        ),
        (f"/kubepods.slice/kubepods-pod{STATIC}.slice/crio-{C}.scope", Owner("pod", STATIC, STATIC)),
        ("/lxc.payload.web-1", Owner("lxc", "web-1", "web-1")),
        ("/lxc.payload.web-1/system.slice/nginx.service", Owner("lxc", "web-1", "web-1")),
        ("/lxc/web-1", Owner("lxc", "web-1", "web-1")),
        ("/machine.slice/machine-db\\x2d1.scope/payload", Owner("machine", "db-1", "db-1")),
        ("/machine.slice/systemd-nspawn@db.service/payload", Owner("machine", "db", "db")),
        ("/system.slice/nginx.service", unit("nginx.service")),
        ("/system.slice/docker.service/odd.scope", unit("docker.service")),
        ("/system.slice/system-getty.slice/getty@tty1.service", unit("getty@tty1.service")),
        (f"/machine.slice/libpod-conmon-{C}.scope", unit(f"libpod-conmon-{C}.scope")),
        (f"{ROOTLESS}/app.slice/batch.service", unit("batch.service")),
        (f"{ROOTLESS}", unit(f"user@{os.getuid()}.service")),
        ("/user.slice/user-0.slice/session-3.scope", unit("session-3.scope")),
        ("/init.scope", unit("init.scope")),
        ("/", None),
        ("/system.slice", None),
        ("/a/b", None),
    ],
)  # fmt: skip
def test_the_path_names_the_owner(path: str, owner: Owner | None) -> None:
    assert owner_of(f"0::{path}\n", NOTHING) == owner


def test_version_1_has_many_lines_of_which_some_are_empty() -> None:
    text = f"9:name=systemd:/system.slice/docker.service\n4:memory:/docker/{C}\n3:cpuset:/\n0::/\n"
    assert owner_of(text, NOTHING) == Owner("docker", SHORT, C)


def test_from_within_a_cgroup_namespace() -> None:
    assert owner_of("0::/../nginx.service\n", NOTHING) == Owner("unit", "nginx.service", "nginx.service")


def test_of_nested_containers_the_outermost_counts() -> None:
    """What a container names the cgroups within itself proves nothing, and its engine is not on this host."""
    inner = "ab" * 32
    path = f"0::/system.slice/docker-{C}.scope/kubelet/kubepods/pod{UID}/{inner}\n"
    kind_node = files({f"/var/lib/docker/containers/{C}/config.v2.json": {"Name": "/kind-worker"}})
    assert owner_of(path, kind_node) == Owner("docker", "kind-worker", C)


@pytest.mark.parametrize("kind", ["", "volatile-"])
def test_names_of_podman(kind: str) -> None:
    listed = [{"id": "ab" * 32, "names": ["other"]}, {"id": C, "names": ["web", "alias"]}]
    storage = "/var/lib/containers/storage/overlay-containers"
    host = files({f"{storage}/containers.json": [], f"{storage}/{kind}containers.json": listed})
    assert str(owner_of(f"0::/machine.slice/libpod-{C}.scope", host)) == "podman web"


def test_names_of_podman_without_root() -> None:
    listed = [{"id": C, "names": ["web"]}]
    host = files({f"{HOME}/.local/share/containers/storage/vfs-containers/containers.json": listed})
    assert str(owner_of(f"0::{ROOTLESS}/user.slice/libpod-{C}.scope", host)) == "podman web"


def test_names_of_docker() -> None:
    host = files({f"/var/lib/docker/containers/{C}/config.v2.json": {"Name": "/web"}})
    assert str(owner_of(f"0::/docker/{C}", host)) == "docker web"
    assert str(owner_of(f"0::/of/my/own/{C}", host)) == "docker web"


def test_names_of_nerdctl_and_ctr() -> None:
    notes = {"annotations": {"nerdctl/name": "web", "nerdctl/namespace": "default"}}
    host = files({f"/run/containerd/io.containerd.runtime.v2.task/default/{C}/config.json": notes})
    assert str(owner_of(f"0::/default/{C}", host)) == "containerd web"
    assert str(owner_of(f"0::/system.slice/nerdctl-{C}.scope", host)) == "containerd web"
    host = files({"/run/containerd/io.containerd.runtime.v2.task/default/mine/config.json": {"process": {}}})
    assert str(owner_of("0::/default/mine", host)) == "containerd mine"


@pytest.mark.parametrize("state", ["/run/containerd", "/run/k3s/containerd"])
@pytest.mark.parametrize(
    "path", [f"/kubepods/besteffort/pod{UID}/{C}", f"/k8s.io/{C}", f"{BURSTABLE}/cri-containerd-{C}.scope"]
)
def test_pods_of_containerd(state: str, path: str) -> None:
    notes = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "app",
        "io.kubernetes.cri.sandbox-name": "web-1",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": UID,
    }
    config = {f"{state}/io.containerd.runtime.v2.task/k8s.io/{C}/config.json": {"annotations": notes}}
    owner = owner_of(f"0::{path}", files(config))
    assert owner == Owner("pod", "shop/web-1", UID, "app")
    assert str(owner) == "pod shop/web-1 (app)"


@pytest.mark.parametrize(("container", "shown"), [("app", "pod shop/web-1 (app)"), ("POD", "pod shop/web-1")])
def test_pods_of_cri_o(container: str, shown: str) -> None:
    notes = {
        "io.kubernetes.container.name": container,
        "io.kubernetes.pod.name": "web-1",
        "io.kubernetes.pod.namespace": "shop",
    }
    at = {f"/run/containers/storage/overlay-containers/{C}/userdata/config.json": {"annotations": notes}}
    assert str(owner_of(f"0::{BURSTABLE}/crio-{C}.scope", files(at))) == shown


def test_pods_by_the_files_of_kubelet() -> None:
    path = f"0::{BURSTABLE}/docker-{C}.scope"
    link = {f"/var/log/containers/web-1_shop_app-{C}.log": ""}
    assert owner_of(path, files(link)) == Owner("pod", "shop/web-1", UID, "app")
    directory = {f"/var/log/pods/shop_web-1_{UID}/app/0.log": ""}
    assert str(owner_of(path, files(directory))) == "pod shop/web-1"


@pytest.mark.parametrize("content", ["", "{", "[]", '"a"', "null", '{"annotations": []}', '{"Name": 3}', "[[1]]"])
def test_damaged_files_cost_the_name_only(content: str) -> None:
    at = {
        f"/var/lib/docker/containers/{C}/config.v2.json": content,
        "/var/lib/containers/storage/overlay-containers/containers.json": content,
        f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{C}/config.json": content,
    }
    for path in (f"/docker/{C}", f"/machine.slice/libpod-{C}.scope", f"/kubepods/pod{UID}/{C}"):
        owner = owner_of(f"0::{path}", files(at))
        assert owner is not None
        assert owner.name in (SHORT, UID)


def test_a_name_of_a_cgroup_never_leaves_the_directories_of_engines() -> None:
    asked = []

    def read(path: str) -> str:
        asked.append(path)
        raise FileNotFoundError(path)

    for path in ("/../../etc", f"/../{C}", f"/.. /{C}", "/a/.."):
        owner_of(f"0::{path}", Files(read, lambda _path: []))
    assert [path for path in asked if ".." in path] == []


def test_each_file_is_read_once() -> None:
    asked = []

    def read(path: str) -> str:
        asked.append(path)
        return "[]"

    host = Files(read, lambda _path: ["overlay-containers"])
    for number in range(20):
        owner_of(f"0::/machine.slice/libpod-{number:064x}.scope", host)
    assert len(asked) == len({*asked}) == 2


@given(st.text(max_size=200))
def test_any_text_has_an_owner_or_none(text: str) -> None:
    for one in (text, f"0::{text}", f"0::/{text}/libpod-{C}"):
        owner = owner_of(one, NOTHING)
        assert owner is None or (owner.kind and owner.name)

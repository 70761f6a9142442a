# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings of another network namespace last: what can be pasted, and nothing that a host chose."""

from __future__ import annotations

import configparser
import re
import shlex
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _model
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.lasting import (
    lasting_way,
    owner_kind,
    owner_name,
    to_last,
)

RESERVED, RANGE = "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_local_port_range"
REUSE, TIMESTAMPS = "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps"
SETTINGS = {RESERVED: "15432,30000-32767", RANGE: "10240 65535", REUSE: "1"}
KINDS = (*get_args(get_type_hints(_model.Owner)["kind"]), "netns", "")


def read_toml(text: str) -> dict[str, Any]:
    """Python 3.10 cannot."""
    found: dict[str, Any] = pytest.importorskip("tomllib").loads(text)
    return found


def blocks(text: str) -> list[str]:
    """What is to be pasted, without the sentences."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith("  "):
            found[-1].append(line[2:])
        elif found[-1]:
            found.append([])
    return ["\n".join(one) for one in found if one]


def pasted(kind: str, name: str = "web", settings: dict[str, str] | None = None) -> list[str]:
    return blocks(lasting_way(kind, name, SETTINGS if settings is None else settings))


def assignments() -> list[str]:
    return [f"{key}={value}" for key, value in SETTINGS.items()]


@pytest.mark.parametrize(("kind", "engine"), [("podman", "podman"), ("docker", "docker"), ("containerd", "nerdctl")])
def test_a_container_gets_them_when_it_is_made(kind: str, engine: str) -> None:
    words = shlex.split(pasted(kind)[0])
    assert words[:4] == [engine, "run", "--name", "web"]
    assert words[-1] == "IMAGE"
    assert words[4:-1] == [word for one in assignments() for word in ("--sysctl", one)]


@pytest.mark.parametrize("kind", ["podman", "docker"])
def test_a_compose_file(kind: str) -> None:
    assert yaml.safe_load(pasted(kind)[-1]) == {"services": {"web": {"sysctls": SETTINGS}}}


def test_all_containers_of_podman() -> None:
    found = read_toml(pasted("podman")[1])
    assert found == {"containers": {"default_sysctls": ["net.ipv4.ping_group_range=0 0", *assignments()]}}


@pytest.mark.parametrize("kind", ["pod", "cri-o"])
def test_a_pod(kind: str) -> None:
    spec, kubelet = pasted(kind)[:2]
    wanted = [{"name": key, "value": value} for key, value in SETTINGS.items()]
    assert yaml.safe_load(spec) == {"spec": {"securityContext": {"sysctls": wanted}}}
    assert yaml.safe_load(kubelet) == {"allowedUnsafeSysctls": [REUSE]}
    text = lasting_way(kind, "shop/web", SETTINGS)
    assert f"Kubernetes allows every pod {RESERVED} (from Kubernetes 1.27 on) and {RANGE}." in text
    assert "Without that list the range alone is reached: x2.0 new connections per second, not x60." in text


def test_a_pod_whose_settings_are_all_allowed_or_none() -> None:
    assert "kubelet" not in lasting_way("pod", "shop/web", {RANGE: "1024 65535"})
    assert "x2.3" in lasting_way("pod", "shop/web", {RANGE: "1024 65535", REUSE: "1"})
    assert "Without that list nothing is reached." in lasting_way("pod", "shop/web", {REUSE: "1"})


def test_all_pods_of_crio() -> None:
    assert read_toml(pasted("cri-o")[2]) == {"crio": {"runtime": {"default_sysctls": assignments()}}}


def test_the_others() -> None:
    ours = [one.replace("=", " = ", 1) for one in assignments()]
    assert pasted("machine")[0].split("\n") == ours
    lxc, incus = pasted("lxc")
    assert lxc.split("\n") == [f"lxc.sysctl.{one}" for one in ours]
    keys = [["web", f"linux.sysctl.{one}"] for one in assignments()]
    assert [shlex.split(line)[3:] for line in incus.split("\n")] == keys
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation of configparser does
    unit.read_string(pasted("unit", "web.service")[0])
    assert shlex.split(unit["Service"]["ExecStartPre"]) == ["+/usr/sbin/sysctl", "-q", "-w", *assignments()]
    added, applied = pasted("netns", "blue")[0].split("\n")
    assert added == "ExecStart=/usr/sbin/ip netns add blue"
    assert shlex.split(applied.partition("=")[2])[:4] == ["/usr/sbin/ip", "netns", "exec", "blue"]
    assert shlex.split(applied)[-3:] == assignments()
    assert shlex.split(pasted("", "")[0]) == ["sysctl", "-q", "-w", *assignments()]


def test_only_what_a_new_namespace_would_not_have_anyway() -> None:
    wanted = {RESERVED: "", RANGE: "32768 60999", TIMESTAMPS: "1", REUSE: "1", "net.ipv4.tcp_tw_recycle": None}
    assert to_last(wanted) == {REUSE: "1"}
    assert to_last({RANGE: "10240 65535", TIMESTAMPS: "2"}) == {RANGE: "10240 65535", TIMESTAMPS: "2"}
    assert {lasting_way(kind, "web", {}) for kind in KINDS} == {""}


PLAIN = st.sampled_from(["web", "shop/web", "web.service", "WEB-1_a@b"])


ODD = st.dictionaries(st.text() | st.sampled_from(list(SETTINGS)), st.text() | st.sampled_from(["", "1 2", "1;x"]))


@given(st.sampled_from(KINDS), st.text() | PLAIN, ODD)
def test_nothing_that_a_host_chose_is_pasted(kind: str, name: str, more: dict[str, str]) -> None:
    """A name or a value that is not plain is left out, and what remains can be read by whom it is for."""
    text = lasting_way(kind, name, {REUSE: "1", **{k: v for k, v in more.items() if k != REUSE}})
    assert re.fullmatch(r"[\w .,:;=@/'()+\[\]\n-]*", text, re.ASCII)
    for one in blocks(text):
        shlex.split(one)
    if not re.fullmatch(r"[A-Za-z0-9][\w.@/-]*", name, re.ASCII):
        assert text == lasting_way(kind, "NAME", {REUSE: "1", **{k: v for k, v in more.items() if k != REUSE}})


def test_whose_it_is() -> None:
    namespace: Any = {"owner": None, "name": None}
    assert (owner_kind(namespace), owner_name(namespace)) == ("", "")
    namespace = {"owner": None, "name": "blue"}
    assert (owner_kind(namespace), owner_name(namespace)) == ("netns", "blue")
    namespace = {"owner": {"kind": "pod", "name": "shop/web"}, "name": "cni-7"}
    assert (owner_kind(namespace), owner_name(namespace)) == ("pod", "shop/web")

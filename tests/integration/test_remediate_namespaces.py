# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role sets running values of other network namespaces of a host, on request, and rolls them back."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.namespace_run import run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.run import run as observe_host
from ansible_collections.netops.ephemeral_ports.plugins.modules import namespace_sysctls, port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.elsewhere import plan_elsewhere, wishes

from .ansible_run import ansible
from .neighbours import running
from .options import defaults_of
from .private_host import (
    FIXED,
    PLAIN,
    RANGE,
    RESERVED,
    REUSE,
    STATE,
    Host,
    private_host,
    private_hosts,
    use_own_ansible,
)

NEW = {**PLAIN, RANGE: "32768 60999"}

# In a namespace of its own: a listener that the range will reach, then it waits to be ended.
NEIGHBOUR = """
import socket, sys
listener = socket.create_server(("0.0.0.0", 15432))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    use_own_ansible(tmp_path, monkeypatch)
    with private_host(tmp_path) as made:
        yield made


class Neighbour:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.name = str(Path(f"/proc/{process.pid}/ns/net").stat().st_ino)
        self.title = f"network namespace {self.name} of python3, pid {process.pid}"

    def sysctls(self) -> dict[str, str]:
        enter = ["nsenter", f"--target={self.process.pid}", "--net"]
        paths = [f"/proc/sys/{key.replace('.', '/')}" for key in PLAIN]
        values = [subprocess.run([*enter, "cat", path], capture_output=True, text=True, check=True) for path in paths]
        return {key: " ".join(value.stdout.split()) for key, value in zip(PLAIN, values, strict=True)}

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def neighbour(host: Host) -> Iterator[Neighbour]:
    if os.geteuid():
        pytest.skip("only root can enter it from here")
    command = [*host.enter, "unshare", "--net", "python3", "-c", NEIGHBOUR]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        found = Neighbour(process)
        try:
            yield found
        finally:
            found.end()


def remediate(host: Host, *options: str, **inputs: object) -> Any:
    return host.play("timewait_remediate", *options, **inputs)


def test_it_is_set_then_nothing_is_left_to_do_then_rolled_back(host: Host) -> None:
    wanted = {**FIXED, RESERVED: "15432"}
    with neighbour(host) as web, neighbour(host) as other:
        first = remediate(host, namespaces=[web.name]).passed()
        assert (first.changed, host.sysctls(), web.sysctls(), other.sysctls()) == (1, FIXED, wanted, NEW)
        assert f"CHANGED: {web.title} (verified), until it ends." in first.text
        assert first.said("Lasts: not: what is set in another network namespace ends with it.")
        assert f"{RESERVED}=15432 '{RANGE}=10240 65535' {REUSE}=1" in first.text
        assert remediate(host, namespaces=[web.name]).passed().changed == 0

        back = host.play("timewait_remediate", entry="rollback").passed()
        assert (back.changed, host.sysctls(), web.sysctls(), host.names(STATE)) == (2, PLAIN, NEW, [])
        assert f"ROLLED BACK: {web.title}." in back.text
        assert host.play("timewait_remediate", entry="rollback").passed().changed == 0


def test_check_mode_and_diff_are_exact(host: Host) -> None:
    with neighbour(host) as web:
        run = remediate(host, "--check", "--diff", namespaces=[web.name]).passed()
        assert (run.changed, web.sysctls(), host.sysctls(), host.names(STATE)) == (1, NEW, PLAIN, [])
        assert f"+++ after: running kernel, {web.title}" in run.text
        assert run.text.count(f"+{REUSE} = 1") == 3  # file, kernel and namespace
        assert f"WOULD CHANGE: {web.title}, until it ends." in run.text


def test_one_that_is_no_longer_named_is_rolled_back(host: Host) -> None:
    with neighbour(host) as web:
        remediate(host, namespaces=[web.name]).passed()
        run = remediate(host).passed()
        assert (run.changed, web.sysctls(), host.sysctls()) == (1, NEW, FIXED)
        remediate(host, namespaces=[web.name]).passed()
        web.end()
        run = remediate(host).passed()
        assert run.changed == 0
        assert "has ended, and with it what was set there; there is nothing to do." in run.text
        assert f"{STATE}/namespaces" not in host.names(STATE)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"namespaces": ["web9"]}, "this host has no network namespace 'web9'; it has"),
        ({"namespaces": ["NAME"], "trial": True}, "namespaces: a trial is one of the drop-in alone"),
        (
            {"namespaces": ["NAME"], "ip_local_port_range": "40000 60000"},
            "TITLE: ip_local_port_range: 40000 60000 would",
        ),
        (
            {"namespaces": ["NAME"], "ip_local_port_range": "512 60999"},
            "begins below net.ipv4.ip_unprivileged_port_start",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(host: Host, inputs: dict[str, Any], words: str) -> None:
    with neighbour(host) as web:
        given = json.loads(json.dumps(inputs).replace("NAME", web.name))
        run = remediate(host, **given)
        assert run.failed
        assert run.said(words.replace("TITLE", web.title).replace(",", "")) or run.said(
            words.replace("TITLE", web.title)
        )
        assert (web.sysctls(), host.sysctls(), host.text(), host.names(STATE)) == (NEW, PLAIN, None, [])


def test_a_rollout_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_ansible(tmp_path, monkeypatch)
    with private_hosts(tmp_path, "one") as hosts, neighbour(hosts["one"]) as web:
        host = hosts["one"]
        inventory = tmp_path / "inventory.yml"
        names = {"timewait_remediate_namespaces": [web.name]}
        one = {"ansible_connection": "local", "ansible_python_interpreter": str(host.python())}
        inventory.write_text(json.dumps({"all": {"hosts": {"one": one}, "vars": names}}))
        given = ("-i", str(inventory), "-e", "ephemeral_ports_become=false")
        done = ansible("playbook", "netops.ephemeral_ports.rollout", *given)
        assert done.returncode
        assert "a rollout sets no other network namespaces" in " ".join(done.stdout.split())
        assert (web.sysctls(), host.sysctls()) == (NEW, PLAIN)


# --- a real container

FIRST = 'print("ready", flush=True); import sys; sys.stdin.read()'
OPTIONS = ["--rm", "--interactive", "--network=none", "--ulimit=nofile=20000:20000", "--ulimit=nproc=30000:30000"]
# The machine's own files under an overlay, so that no image is needed.
IMAGE = ["--rootfs", "/:O", sys.executable, "-c", FIRST]
has_podman = pytest.mark.skipif(not shutil.which("podman") or os.geteuid() != 0, reason="wants podman as root")


def in_container(name: str) -> dict[str, str]:
    paths = [f"/proc/sys/{key.replace('.', '/')}" for key in PLAIN]
    found = [
        subprocess.run(["podman", "exec", name, "cat", p], capture_output=True, text=True, check=True) for p in paths
    ]
    return {key: " ".join(one.stdout.split()) for key, one in zip(PLAIN, found, strict=True)}


def observe(name: str, state: Path) -> Any:
    defaults = defaults_of(port_usage_info)
    return observe_host({**defaults, "detail": "full", "namespaces": [name], "state_dir": str(state)}, False)


def call(directory: Path, **options: Any) -> Any:
    return run({**defaults_of(namespace_sysctls), "state_dir": str(directory), **options}, False)


@has_podman
def test_a_container_is_set_from_the_host_and_told_how_it_would_last(tmp_path: Path) -> None:
    name, state = f"ports-set-{os.getpid()}", tmp_path / "state"
    with running("podman", "run", *OPTIONS, f"--name={name}", *IMAGE):
        writing = ["podman", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"]
        assert subprocess.run(writing, capture_output=True, check=False).returncode  # it is read-only for the container
        (plan,) = plan_elsewhere(observe(f"podman {name}", state), {})
        result = call(state, namespaces=wishes([plan]))
        (one,) = result["namespaces"]
        assert (one["status"], one["namespace"]["owner"]["name"]) == ("changed", name)
        assert in_container(name) == FIXED
        assert call(state, namespaces=wishes([plan]))["changed"] is False
        assert call(state, state="absent")["changed"]
        assert in_container(name) == NEW
        call(state, namespaces=wishes([plan]))
    with running("podman", "run", *OPTIONS, f"--name={name}", *IMAGE):  # the next one of that name begins anew
        assert in_container(name) == NEW
        (gone,) = call(state, state="absent")["namespaces"]
        assert gone["status"] == "gone"
        assert in_container(name) == NEW

    words = shlex.split(plan["lasting_way"].split("\n")[1])
    assert words[:2] == ["podman", "run"]
    with running(*words[:2], *OPTIONS, *words[2:-1], *IMAGE):
        assert in_container(name) == FIXED
    conf = tmp_path / "containers.conf"
    conf.write_text("\n".join(line[2:] for line in plan["lasting_way"].split("\n")[3:5]))
    with running("podman", "run", *OPTIONS, f"--name={name}", *IMAGE, CONTAINERS_CONF=str(conf)):
        assert in_container(name) == FIXED

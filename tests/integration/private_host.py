# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are sets of private namespaces, and what Ansible says about them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import keys

from .ansible_run import ansible

ROOT = Path(__file__).resolve().parents[2]
DROPIN = Path("/etc/sysctl.d/99-zz-ephemeral-ports.conf")
STATE = Path("/var/lib/netops.ephemeral_ports")

RANGE, RESERVED, REUSE, TIMESTAMPS = keys.PORT_RANGE, keys.RESERVED_PORTS, keys.TW_REUSE, keys.TIMESTAMPS
PLAIN = {RANGE: "32768 33267", RESERVED: "", REUSE: "2", TIMESTAMPS: "1"}
FIXED = {RANGE: "10240 65535", RESERVED: "", REUSE: "1", TIMESTAMPS: "1"}

# Names that a caller may use for anything, among them all that the role and its template use within.
HOSTILE = """
    action applied content destination dropin error errors file item items key method msg name path plan policy present
    purpose rate reason remediation_plan reserve result sample setting settings state state_dir sustainable_rate
    template total url usage value wanted
"""

# All ports towards one destination, until it is told to end; then it says whether there is one more.
LOAD = """
import errno, resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
server = socket.create_server(("198.18.0.1", 9000), backlog=1024)
held = []
while True:
    client = socket.socket()
    try:
        client.connect(("198.18.0.1", 9000))
    except OSError as error:
        assert error.errno == errno.EADDRNOTAVAIL, error
        break
    held += [client, server.accept()[0]]
print(len(held), flush=True)
input()
with socket.create_connection(("198.18.0.1", 9000)):
    print("connected", flush=True)
"""


class Host:
    """A host of its own as long as `keeper` lives: network, sysctls, /etc/sysctl.d and state."""

    def __init__(self, keeper: subprocess.Popen[str], home: Path) -> None:
        self.home = home
        self.enter = ["nsenter", f"--target={keeper.pid}", "--net", "--mount"]
        self.namespaces = [f"/proc/{keeper.pid}/ns/{kind}" for kind in ("net", "mnt")]
        if Path(f"/proc/{keeper.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink():
            self.enter += ["--user", "--preserve-credentials"]
            self.namespaces = []  # into another user namespace goes only who has just started

    def run(self, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {"capture_output": True, "text": True, "timeout": 300, "stdin": subprocess.DEVNULL}
        return subprocess.run([*self.enter, *command], check=check, **{**settings, **options})

    def playbook(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `ansible-playbook ARGUMENTS` there."""
        whole = {**os.environ, **environment}
        if self.namespaces:
            return ansible("playbook", *arguments, namespaces=self.namespaces, environment=whole)
        return self.run(sys.executable, "-m", "ansible", "playbook", *arguments, check=False, env=whole)

    def play(
        self, role: str, *options: str, entry: str = "main", play_vars: dict[str, Any] | None = None, **inputs: object
    ) -> Run:
        """Run a role by its full name in a play of its own; inputs are its variables without the role's name."""
        variables = {f"{role}_{name}": value for name, value in inputs.items()}
        task = {"name": f"netops.ephemeral_ports.{role}", "tasks_from": entry}
        play = {
            "hosts": "all",
            "gather_facts": False,
            "vars": play_vars or {},
            "tasks": [{"ansible.builtin.include_role": task, "vars": variables}],
        }
        playbook = self.home / "play.yml"
        playbook.write_text(json.dumps([play]))
        return Run(self.playbook(str(playbook), "--inventory=localhost,", "--connection=local", *options))

    def refusals(self, plays: Sequence[dict[str, Any]], cases: Sequence[dict[str, object]]) -> list[str]:
        """Why plays fail for each case, empty where they do not. A case is variables of a host of the inventory, and
        all of these are this host, so that one run shows what many would.
        """
        names = [f"case{number}" for number in range(len(cases))]
        inventory, playbook = self.home / "cases.json", self.home / "play.yml"
        every = {"hosts": dict(zip(names, cases, strict=True)), "vars": {"ansible_connection": "local"}}
        inventory.write_text(json.dumps({"all": every}))
        playbook.write_text(json.dumps(plays))
        text, decoder = Run(self.playbook(str(playbook), f"--inventory={inventory}")).text, json.JSONDecoder()
        said = dict.fromkeys(names, "")
        for failed in re.finditer(r"^fatal: \[(\w+)]: FAILED! => ", text, re.MULTILINE):
            said[failed[1]] = decoder.raw_decode(text, failed.end())[0]["msg"]
        return [*said.values()]

    def python(self) -> Path:
        """An interpreter for ansible_python_interpreter: modules run on this host, whoever started them."""
        script = self.home / "python"
        script.write_text(f'#!/bin/sh\nexec {shlex.join([*self.enter, sys.executable])} "$@"\n')
        script.chmod(0o755)
        return script

    def sysctls(self) -> dict[str, str]:
        values = self.run("cat", *(f"/proc/sys/{key.replace('.', '/')}" for key in PLAIN)).stdout.splitlines()
        return {key: " ".join(value.split()) for key, value in zip(PLAIN, values, strict=True)}

    def text(self, path: Path = DROPIN) -> str | None:
        done = self.run("cat", str(path), check=False)
        return None if done.returncode else done.stdout

    def write(self, path: Path, text: str) -> None:
        self.run("sh", "-c", f"cat > '{path}'", input=text, stdin=None)

    def names(self, path: Path) -> list[str]:
        return self.run("ls", "-A", str(path), check=False).stdout.split()


class Run:
    """What a run of ansible-playbook printed, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.text = done.stdout + done.stderr
        assert "[DEPRECATION WARNING]" not in self.text, self.text
        self.failed = done.returncode != 0
        self.changed = sum(map(int, re.findall(r"\bchanged=(\d+)", self.text)))

    def passed(self) -> Run:
        assert not self.failed, self.text
        return self

    def said(self, sentence: str) -> bool:
        """Whether it says this, however Ansible wraps or quotes it."""
        return sentence in " ".join(re.sub(r'[",\s]+', " ", self.text).split())


def use_own_ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's Ansible configuration plays a part, and nothing of ours stays.

    What the tests of this process have in common is built once.
    """
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(ROOT / "build"))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path.parent / "home"))
    monkeypatch.setenv("ANSIBLE_REMOTE_TEMP", str(tmp_path.parent / "remote"))
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", sys.executable)


@contextlib.contextmanager
def private_host(home: Path) -> Iterator[Host]:
    """A host with 500 ports, for as long as the context lasts; skips the test where there can be none."""
    launcher = [sys.executable, str(ROOT / "scripts" / "private_namespaces.py"), "--sysctl", f"{RANGE}={PLAIN[RANGE]}"]
    command = [*launcher, "--", "sh", "-c", "echo ready; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdin is not None
        if keeper.stdout.readline() != "ready\n":
            pytest.skip("neither user namespaces nor root: no private host")
        try:
            host = Host(keeper, home)
            require_its_root(host, keeper.pid)
            yield host
        finally:
            keeper.stdin.close()


def require_its_root(host: Host, keeper: int) -> None:
    """Entering a mount namespace leaves a chroot, and then the files of the machine itself would be written."""
    root = Path(f"/proc/{keeper}/root").stat()
    if host.run("stat", "--format=%d:%i", "/").stdout != f"{root.st_dev}:{root.st_ino}\n":
        pytest.fail("this is a chroot, which a private host would leave: run the tests in a container or without it")


@contextlib.contextmanager
def private_hosts(home: Path, *names: str) -> Iterator[dict[str, Host]]:
    with contextlib.ExitStack() as stack:
        hosts = {}
        for name in names:
            (home / name).mkdir()
            hosts[name] = stack.enter_context(private_host(home / name))
        yield hosts


@contextlib.contextmanager
def all_ports_taken(host: Host) -> Iterator[subprocess.Popen[str]]:
    """The process that has all of the 500 ports towards 198.18.0.1:9000, see LOAD."""
    command = [*host.enter, sys.executable, "-c", LOAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1000\n"
        yield process

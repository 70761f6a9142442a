# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as others have it: built, installed, and used from a repository that is not ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .ansible_run import ansible
from .private_host import ROOT, Host, Run

FQCN = "netops.ephemeral_ports"
FILE_IN_DOCS = re.compile(r"^```\w+\n# (\S+[./]\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def clean_copy(target: Path) -> Path:
    """What a commit of the present files would hold, and nothing that lies about in the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def files_in_docs(page: str) -> dict[str, str]:
    """The example files of a page: code blocks whose first line is a comment with the name of the file."""
    return dict(FILE_IN_DOCS.findall((ROOT / "docs" / page).read_text()))


def commands_in_docs(page: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    return [line.partition("  #")[0].rstrip() for block in blocks for line in block.splitlines()]


class Controller:
    """Ansible in a working directory, with no variables, configuration or collections of the developer's."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.directory = directory
        home = directory.parent / f"{directory.name}.home"
        home.mkdir(parents=True, exist_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **variables}

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / name).write_text(text)

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env={**self.environment, **variables},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return ended_well(done) if check else done

    def ansible(
        self, tool: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **variables}
        done = ansible(tool, *arguments, environment=environment, directory=self.directory)
        return ended_well(done) if check else done

    def play(self, playbook: str, *arguments: str, **variables: str) -> Run:
        return Run(self.ansible("playbook", playbook, *arguments, check=False, **variables))


def ended_well(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert not done.returncode, f"{done.args}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def build(source: Path, output: Path) -> Path:
    """The tarball that `ansible-galaxy collection build` makes of a directory."""
    Controller(source).ansible("galaxy", "collection", "build", "--output-path", str(output))
    (tarball,) = output.glob("*.tar.gz")
    return tarball


def install(tarball: Path, target: Path) -> Path:
    """The collection in a collections path, installed without asking any server."""
    controller = Controller(target.parent / f"{target.name}.install")
    controller.ansible("galaxy", "collection", "install", "--offline", "-p", str(target), str(tarball))
    return target / "ansible_collections" / "netops" / "ephemeral_ports"


def copy_collection(collection: Path, target: Path) -> None:
    """Copy a collection or a part of it, without what Python may be compiling there at this moment."""
    shutil.copytree(collection, target, ignore=shutil.ignore_patterns("__pycache__"))


def connection(host: Host) -> dict[str, object]:
    """Inventory variables by which a controller anywhere reaches a private host.

    Modules run there through the interpreter. `become` is su for root, who needs no password; an ordinary user is
    root in the host's namespaces already.
    """
    become = {"ansible_become_method": "ansible.builtin.su"} if os.geteuid() == 0 else {"ansible_become": False}
    return {
        "ansible_connection": "ansible.builtin.local",
        "ansible_python_interpreter": str(host.python()),
        "ansible_remote_tmp": str(host.home / "remote"),
        **become,
    }


def inventory(hosts: dict[str, Host]) -> str:
    return json.dumps({"all": {"hosts": {name: connection(host) for name, host in hosts.items()}}})

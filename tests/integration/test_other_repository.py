# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed collection in infrastructure repositories that are not ours."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .consumer import FQCN, Controller, commands_in_docs, connection, files_in_docs
from .private_host import FIXED, PLAIN, RESERVED, REUSE, ROOT, Host, private_host

PAGE = "in-your-repository.md"


@contextlib.contextmanager
def private_hosts(home: Path, *names: str) -> Iterator[dict[str, Host]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(private_host(made(home / name))) for name in names}


def made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def inventory(hosts: dict[str, Host]) -> str:
    return json.dumps({"all": {"hosts": {name: connection(host) for name, host in hosts.items()}}})


@pytest.fixture(scope="module")
def documented(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Controller, dict[str, Host]]]:
    """The repository of the guide, and its hosts."""
    scratch = tmp_path_factory.mktemp("documented")
    user = Controller(scratch / "infrastructure")
    files = files_in_docs(PAGE)
    user.write(files)
    with private_hosts(scratch, "proxy1", "proxy2", "proxy3", "node1", "db1") as hosts:
        user.write({"inventory/zz_private_hosts.yml": inventory(hosts)})
        (pinned,) = yaml.safe_load(files["requirements.yml"])["collections"]
        (user.directory / pinned["name"]).parent.mkdir()
        shutil.copy(tarball, user.directory / pinned["name"])
        yield user, hosts


def test_guide_is_complete() -> None:
    """Every file is in its tree, every name in the tree is shown, and the pin is the version that this is."""
    text = (ROOT / "docs" / PAGE).read_text()
    tree = text.partition("```text\n")[2].partition("```")[0]
    shown = {line.split("── ")[1].split()[0] for line in tree.splitlines() if "── " in line}
    files = files_in_docs(PAGE)
    assert {Path(name).name for name in files} == {name for name in shown if not name.endswith("/")}
    assert f"-{yaml.safe_load((ROOT / 'galaxy.yml').read_text())['version']}.tar.gz" in files["requirements.yml"]


def test_guide_does_what_it_says(documented: tuple[Controller, dict[str, Host]]) -> None:
    user, hosts = documented
    install, verify, syntax, check, proxies, everything, nightly, rollback = commands_in_docs(PAGE)

    user.run(*shlex.split(install))
    assert "Successfully verified" in user.run(*shlex.split(verify)).stdout
    user.run(*shlex.split(syntax))

    predicted = user.run(*shlex.split(check)).stdout
    assert "+net.ipv4.ip_local_port_range = 10240 65535" in predicted
    assert all(host.sysctls() == PLAIN for host in hosts.values())

    applied = user.run(*shlex.split(proxies)).stdout
    assert "proxy2 has new port settings" in applied
    assert "A ticket, a graph annotation" in applied
    agents = "20000,21000-21010"
    assert hosts["proxy1"].sysctls() == hosts["proxy2"].sysctls() == {**FIXED, RESERVED: agents}
    assert hosts["proxy3"].sysctls() == {**FIXED, RESERVED: agents, REUSE: PLAIN[REUSE]}
    assert hosts["node1"].sysctls() == PLAIN

    done = user.run(*shlex.split(everything)).stdout
    assert "A ticket" not in done
    assert hosts["node1"].sysctls() == {**FIXED, RESERVED: "30000-32767"}
    assert "unreachable=0    failed=0" in user.run(*shlex.split(nightly)).stdout
    user.run(*shlex.split(rollback))
    assert {name for name, host in hosts.items() if host.sysctls() == PLAIN} == {"proxy1", "proxy2", "proxy3", "db1"}

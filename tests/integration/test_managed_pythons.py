# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible runs them, with the Pythons that managed hosts have, on a host that is a set of namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environments
import pytest

from .private_host import PLAIN, RANGE, REUSE, STATE, Host, private_host

MANAGED = environments.ROOT / "build" / "managed"
VERSIONS = ("3.6", "3.9", "newest")
CONTENT = f"{REUSE} = 1\n"
LOAD = {"serve": "198.18.0.1", "serve_port": 8080, "total": 600, "time_limit": 20}

# What ansible-core itself says about the Pythons that it supports on managed hosts.
SUPPORTED = """
import json
from ansible.release import __version__
from ansible_test._util.target.common import constants
print(json.dumps([__version__, constants.REMOTE_ONLY_PYTHON_VERSIONS + constants.CONTROLLER_PYTHON_VERSIONS]))
"""


Record = Callable[[str, object], None]


@pytest.fixture(scope="module", params=VERSIONS)
def interpreter(request: pytest.FixtureRequest, record_testsuite_property: Record) -> Path:
    core, supported = json.loads(subprocess.check_output([sys.executable, "-c", SUPPORTED]))
    versions = supported[::-1] if request.param == "newest" else [request.param]
    if versions[0] not in supported:
        pytest.skip(f"ansible-core {core} does not support Python {request.param} on managed hosts")
    found = environments.find_python(versions)
    if found is None:
        pytest.skip(f"no Python {request.param} on PATH or in pyenv")
    version = found.name.removeprefix("python")
    record_testsuite_property(request.param, version)  # for scripts/matrix.py
    return environments.make_environment(MANAGED / version, found)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(environments.ROOT / "build"))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANSIBLE_REMOTE_TEMP", str(tmp_path / "remote"))
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "ansible.builtin.json")
    with private_host(tmp_path) as private:
        yield private


def run(host: Host, interpreter: Path, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of these tasks, run by modules under this interpreter."""
    play = {"hosts": "all", "gather_facts": False, "tasks": list(tasks)}
    playbook = host.home / "play.yml"
    playbook.write_text(json.dumps([play]))
    variables = f"--extra-vars=ansible_python_interpreter={interpreter}"
    done = host.playbook(str(playbook), "--inventory=localhost,", variables, "--connection=local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DEPRECATION" not in done.stderr
    (played,) = json.loads(done.stdout)["plays"]
    return [task["hosts"]["localhost"] for task in played["tasks"]]


def module(name: str, options: dict[str, Any], **keywords: object) -> dict[str, Any]:
    return {f"netops.ephemeral_ports.{name}": options, **keywords}


def test_it_is_this_python(host: Host, interpreter: Path) -> None:
    """Modules run under the interpreter that is meant, and under no other."""
    (asked,) = run(host, interpreter, {"ansible.builtin.setup": {"gather_subset": ["!all", "!min", "python"]}})
    version = asked["ansible_facts"]["ansible_python"]["version"]
    assert f"{version['major']}.{version['minor']}" == interpreter.parents[1].name


def test_port_usage_info(host: Host, interpreter: Path) -> None:
    by_netlink, by_procfs = run(
        host, interpreter, *(module("port_usage_info", {"method": method}) for method in ("netlink", "procfs"))
    )
    for usage in (by_netlink, by_procfs):
        assert (usage["changed"], usage["level"], usage["pools"]) == (False, "ok", [])
    assert by_netlink["port_range"] == by_procfs["port_range"]
    assert by_netlink["port_range"]["usable"] == 500


def test_sysctl_dropin(host: Host, interpreter: Path) -> None:
    present, absent = {"content": CONTENT}, {"state": "absent"}
    results = run(
        host,
        interpreter,
        module("sysctl_dropin", present, check_mode=True),
        module("sysctl_dropin", present),
        module("sysctl_dropin", present),
    )
    assert [result["changed"] for result in results] == [True, True, False]
    assert (host.text(), host.sysctls()) == (CONTENT, {**PLAIN, REUSE: "1"})

    results = run(
        host,
        interpreter,
        module("sysctl_dropin", absent, check_mode=True),
        module("sysctl_dropin", absent),
        module("sysctl_dropin", absent),
    )
    assert [result["changed"] for result in results] == [True, True, False]
    assert (host.text(), host.sysctls(), host.names(STATE)) == (None, PLAIN, [])


def test_what_the_kernel_refuses_changes_nothing(host: Host, interpreter: Path) -> None:
    options = {"content": f"{CONTENT}{RANGE} = 60000 20000\n"}
    (refused,) = run(host, interpreter, module("sysctl_dropin", options, ignore_errors=True))
    assert refused["failed"]
    assert RANGE in refused["msg"]
    assert (host.text(), host.sysctls(), host.names(STATE)) == (None, PLAIN, [])


def test_who_connects(host: Host, interpreter: Path) -> None:
    (users,) = run(host, interpreter, module("port_users_info", {"seconds": 0.1}))
    assert (users["kind"], users["traced"]) == ("users", not users["why_not"])


def test_curl_stress(host: Host, interpreter: Path) -> None:
    directory = interpreter.parents[1]
    try:
        with_pycurl = environments.make_environment(
            directory.with_name(f"{directory.name}-pycurl"),
            interpreter,
            environments.ROOT / "requirements" / "matrix-managed.txt",
        )
    except environments.EnvironmentFailedError as error:
        pytest.skip(f"no pycurl for this Python: {error}")
    stress, usage = run(host, with_pycurl, module("curl_stress", LOAD), module("port_usage_info", {}))
    assert [(one["curl_code"], one["errno"], one["count"]) for one in stress["errors"]] == [(7, 99, 100)]
    assert (stress["attempted"], stress["succeeded"]) == (600, 500)
    assert usage["level"] == "exhausted"

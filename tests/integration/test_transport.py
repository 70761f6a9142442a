# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An observation as a program and as a module: the same answer, by each ansible-core, in every way to reach a host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import environments
import pytest

from .cores import CORES, python_with
from .crashes.cases import OLDEST
from .private_host import RANGE, ROOT

HERE = Path(__file__).resolve().parent
MODULE = "netops.ephemeral_ports.port_usage_info"
CHANGE = "netops.ephemeral_ports.sysctl_dropin"
PYTHON = "/usr/bin/python3"
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.12", "3.13")
WAYS = ("program", "module")
# What another moment changes.
LOCAL = {"ansible_connection": "local", "ansible_pipelining": True}
OF_THE_MOMENT = ("uptime", "counters", "namespace", "not_observed", "ansible_facts", "sockets", "invocation")


class Case(NamedTuple):
    """A host and a task. script: in place of the interpreter. travels: by which way, where the program may not.

    says: is in the message of the task, which failed; None where it did not.
    """

    variables: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {"detail": "full"}
    keywords: Mapping[str, Any] = {}
    script: str = ""
    says: str | None = None
    travels: str = "program"
    module: str = MODULE


def host(name: str, way: str) -> str:
    return f"{name}-{way}".replace(" ", "-")


AS_NOBODY = f'[ "$(id -un)" = nobody ] || exit 9; exec {PYTHON} "$@"'
SU = {"ansible_become": True, "ansible_become_method": "su", "ansible_become_user": "nobody"}
SU |= {"ansible_become_flags": "-s /bin/sh"}
# In place of sudo, which needs no terminal and so lets a program be piped.
SUDO = """#!/bin/sh
while [ "$1" != /bin/sh ]; do shift; done
exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
"""
BECOME = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": "./sudo"}
CASES = {
    "pipelining": Case(),
    "a file": Case({"ansible_pipelining": False}),
    "a connection that takes no input": Case({"ansible_connection": "no_input"}),
    "discovered": Case({"ansible_python_interpreter": "auto_silent"}),
    "no log": Case(keywords={"no_log": True}),
    "check mode": Case(keywords={"check_mode": True}),
    "awaited": Case(keywords={"async": 60, "poll": 1}),
    "another user": Case(BECOME, script=AS_NOBODY),
    "another user and a file": Case({**BECOME, "ansible_pipelining": False}, script=AS_NOBODY),
    "another user by su": Case(SU, script=AS_NOBODY),
    "environment": Case(
        keywords={"environment": {"MINE": "a b"}}, script=f'[ "$MINE" = "a b" ] || exit 9; exec {PYTHON} "$@"'
    ),
    "a sudden end": Case(script="kill -KILL $$", says="was killed by signal 9 (SIGKILL)"),
    "silence": Case(script="exit 0", says="ended with exit code 0 and said nothing"),
    "noise": Case(script=f'echo Welcome; echo careful >&2; {PYTHON} "$@"; echo Bye'),
    "too much": Case(script="head -c 20000000 /dev/zero | tr '\\0' x", says="it printed more than"),
    "slow": Case(keywords={"timeout": 2}, script="sleep 60", says="2"),
    "too few pools": Case(options={"max_pools": 0}, says="max_pools must be between 1 and 1000, not 0"),
    "what is not an option": Case(options={"no_such": 1}, says="Unsupported parameters", travels="module"),
    "a boolean for a number": Case(options={"max_pools": True}, says="max_pools must be a number", travels="module"),
    "no such choice": Case(options={"detail": "much"}, says="value of detail must be one of", travels="module"),
    "a path of the host": Case(options={"detail": "full", "path": "~/x.conf"}, travels="module"),
    "hostile": Case(options={"destination": "'\"}); exit(9) #\\"}, says="is not ADDRESS"),
}


def change(
    text: str | None, variables: Mapping[str, Any] | None = None, script: str = "", says: str | None = None
) -> Case:
    """A prediction, so that no host finds what another has changed."""
    options = {} if text is None else {"content": text}
    return Case(variables or {}, options, {"check_mode": True}, script, says, "module", CHANGE)


CONTENT = f"{RANGE} = 20000 65535\n"
# A module, with its host code packed and as it is.
CHANGES = {
    "a change": change(CONTENT),
    "a change as a file": change(CONTENT, {"ansible_pipelining": False}),
    "a change without an option": change(None, says="content"),
    "a change that is refused": change(f"{RANGE} = 2 1\n", says="the low end 2 is above the high end 1"),
    "a change that ends": change(CONTENT, script="kill -KILL $$", says="was killed by signal 9 (SIGKILL)"),
}


class Run(NamedTuple):
    """By host, the result of its task; by host, the way in which the module went to it."""

    core: str
    results: dict[str, dict[str, Any]]
    travelled: dict[str, str]
    printed: str


@pytest.fixture(scope="module", params=CORES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    python = python_with(request.param)
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # another user runs what is in it
        yield _play(request.param, python, Path(home))


def _play(core: str, python: Path, home: Path) -> Run:
    hosts: dict[str, dict[str, Any]] = {}
    plays: list[dict[str, Any]] = []
    for name, (case, variables) in _hosts(core, home).items():
        hosts[name] = variables
        task = {case.module: case.options, "ignore_errors": True, **case.keywords}
        plays.append({"hosts": [name], "gather_facts": False, "tasks": [task]})
    plays.append(
        {
            "hosts": ["delegating-program", "delegating-module"],
            "gather_facts": False,
            "tasks": [{MODULE: {"detail": "full"}, "delegate_to": "{{ other }}"}],
        }
    )
    for way in WAYS:
        own = {"ansible_python_interpreter": "/nowhere/python", "ephemeral_ports_transport": way}
        hosts[f"delegating-{way}"] = {**LOCAL, **own, "other": f"pipelining-{way}"}
    (home / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (home / "site.json").write_text(json.dumps(plays))
    (home / "witness.jsonl").touch()
    (home / "sudo").write_text(SUDO)
    (home / "sudo").chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "transport_connection_plugins"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "hostile" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "witness",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "1",
        "HOSTILE_WITNESS": str(home / "witness.jsonl"),
    }
    play = [python, "-m", "ansible", "playbook", "site.json", "--inventory=inventory.json", "-vvv"]
    private = [sys.executable, ROOT / "scripts" / "private_namespaces.py"]
    private += [f"--sysctl={RANGE}=32768 33267", "--"]
    done = subprocess.run(
        [*private, *play],
        env=environment,
        cwd=home,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if "cannot make private namespaces" in done.stderr:
        pytest.skip(done.stderr)
    printed = done.stdout + done.stderr
    said = [json.loads(line) for line in (home / "witness.jsonl").read_text().splitlines()]
    results = {one["host"]: {**one["result"], "failed": one["how"] == "failed"} for one in said if "result" in one}
    assert results.keys() == hosts.keys(), printed
    programs = set(re.findall(r"^<(.+?)> port_usage_info travels as a program", printed, re.MULTILINE))
    return Run(core, results, {name: "program" if name in programs else "module" for name in hosts}, printed)


def _hosts(core: str, home: Path) -> dict[str, tuple[Case, dict[str, Any]]]:
    """Each case twice, and once more for each Python that this machine has and the ansible-core takes."""
    cases = {**CASES, **CHANGES}
    for version in VERSIONS:
        found = environments.find_python([version])
        if found and [*map(int, version.split("."))] >= [*map(int, OLDEST[core].split("."))]:
            cases[f"Python {version}"] = Case({"ansible_python_interpreter": str(found)})
            cases[f"a change by Python {version}"] = change(CONTENT, {"ansible_python_interpreter": str(found)})
    hosts = {}
    for number, (name, case) in enumerate(cases.items()):
        interpreter = PYTHON
        if case.script:
            script = home / f"python{number}"
            script.write_text(f"#!/bin/sh\n{case.script}\n")
            script.chmod(0o755)
            interpreter = str(script)
        for way in WAYS:
            own = {"ansible_python_interpreter": interpreter, "ansible_remote_tmp": str(home / f"tmp{number}")}
            known = {**LOCAL, **own, "ephemeral_ports_transport": way}
            hosts[host(name, way)] = (case, {**known, **case.variables})
    return hosts


@pytest.mark.parametrize("name", CASES)
def test_both_ways_say_the_same(run: Run, name: str) -> None:
    program, module = (steady(run.results[host(name, way)]) for way in WAYS)
    assert program == module
    case = CASES[name]
    assert program["failed"] == (case.says is not None)
    if case.says:
        assert case.says in program["msg"]
    elif "no_log" in case.keywords:
        assert "censored" in program
    else:
        assert (program["kind"], program["port_range"]["size"]) == ("usage", 500)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_the_same_with_its_code_packed(run: Run, name: str) -> None:
    packed, plain = (steady(run.results[host(name, way)]) for way in WAYS)
    assert packed == plain
    assert packed["failed"] == (CHANGES[name].says is not None)
    assert (CHANGES[name].says or "") in packed.get("msg", "")
    assert packed["changed"] == (not packed["failed"])
    assert run.travelled[host(name, "program")] == "module"


@pytest.mark.parametrize("name", CASES)
def test_it_travels_as_it_should(run: Run, name: str) -> None:
    assert run.travelled[host(name, "program")] == CASES[name].travels
    assert run.travelled[host(name, "module")] == "module"


@pytest.mark.parametrize("version", VERSIONS)
def test_with_the_pythons_of_managed_hosts(run: Run, version: str) -> None:
    names = [host(f"Python {version}", way) for way in WAYS]
    if names[0] not in run.results:
        pytest.skip(f"no Python {version} on PATH or in pyenv, or ansible-core {run.core} does not take it")
    program, module = (steady(run.results[name]) for name in names)
    assert program == module
    assert (program["failed"], program["kind"]) == (False, "usage")
    assert [run.travelled[name] for name in names] == [*WAYS]
    packed, plain = (steady(run.results[host(f"a change by Python {version}", way)]) for way in WAYS)
    assert packed == plain
    assert (packed["failed"], packed["kind"], packed["changed"]) == (False, "apply", True)


@pytest.mark.parametrize("way", WAYS)
def test_delegated_it_is_for_the_other_host(run: Run, way: str) -> None:
    """With the interpreter of that host; the one that delegates has none."""
    result = run.results[f"delegating-{way}"]
    assert (result["failed"], result["kind"]) == (False, "usage")


@pytest.mark.parametrize("way", WAYS)
def test_the_discovered_interpreter_is_passed_on(run: Run, way: str) -> None:
    (found,) = run.results[f"discovered-{way}"]["ansible_facts"].values()
    assert found.startswith("/usr/bin/python3")


def test_the_output_shows_no_program(run: Run) -> None:
    assert "a2b_base64" not in run.printed


def steady(result: dict[str, Any]) -> dict[str, Any]:
    """Without what another moment, or the name of a file, changes."""
    kept = {name: one for name, one in result.items() if name not in OF_THE_MOMENT}
    return json.loads(re.sub(r"(program|module)\b", "WAY", json.dumps(kept))) if "msg" in kept else kept

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide for large fleets: slices, ansible-pull, ansible-runner and fact caching, run as it shows them."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .consumer import FQCN, Controller, commands_in_docs, copy_collection, files_in_docs, inventory
from .private_host import FIXED, PLAIN, RESERVED, REUSE, ROOT, Host, private_hosts

PAGE = "at-scale.md"
FILES = files_in_docs(PAGE)
UNITS = {Path(name).name: text for name, text in FILES.items() if name.startswith("/etc/systemd/system/")}
COMMANDS = map(shlex.split, commands_in_docs(PAGE))
BOUNDED, FIRST_SLICE, SECOND_SLICE, PROGRAM, BY_NAME, REMEMBER, RECALL = COMMANDS
AGENTS = "20000,21000-21010"  # what the guide reserves for its proxies
BIN = Path(sys.executable).parent

Fleet = tuple[Controller, dict[str, Host]]


@pytest.fixture
def fleet(installed: Path, tmp_path: Path) -> Iterator[Fleet]:
    """The repository of both guides, with the collection in it, and its proxies."""
    user = Controller(tmp_path / "infrastructure")
    guide = files_in_docs("in-your-repository.md")
    user.write({**guide, **{name: text for name, text in FILES.items() if name.startswith("playbooks/")}})
    # What Python has compiled would be compiled anew in a checkout, which git would take for a modification.
    copy_collection(installed.parents[2], user.directory / "collections")
    with private_hosts(tmp_path, "proxy1", "proxy2", "proxy3") as hosts:
        yield user, hosts


def reach(user: Controller, hosts: dict[str, Host]) -> None:
    """An inventory of these hosts alone, and how to reach them."""
    user.write({"inventory/hosts.yml": json.dumps({"proxies": {"hosts": dict.fromkeys(hosts)}})})
    user.write({"inventory/zz_private_hosts.yml": inventory(hosts)})


def test_slices_are_parts_of_the_whole(fleet: Fleet) -> None:
    user, hosts = fleet
    reach(user, hosts)
    assert "failed=0" in user.run(*BOUNDED).stdout
    user.run(*FIRST_SLICE)
    assert {name for name, host in hosts.items() if host.sysctls() != PLAIN} == {"proxy1", "proxy2"}
    assert "proxy1" not in user.run(*SECOND_SLICE).stdout
    assert hosts["proxy3"].sysctls() != PLAIN


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation of configparser does
    parser.read_string(re.sub(r"\\\n *", "", UNITS[name]))
    return parser


def test_units_are_valid(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("no systemd-analyze")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ansible-pull").symlink_to("/bin/true")
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text.replace("/usr/bin/", f"{tmp_path}/bin/"))
    command = [analyze, "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert not [line for line in done.stderr.splitlines() if "ephemeral-ports" in line], done.stderr
    calendar = unit("ephemeral-ports.timer")["Timer"]["OnCalendar"]
    subprocess.run([analyze, "calendar", calendar], check=True, capture_output=True)


def test_pull(fleet: Fleet, tmp_path: Path) -> None:
    """The service's command, with a directory as git server: on a new host, after drift, and where it is refused."""
    user, hosts = fleet
    commit = ["-c", "user.name=ci", "-c", "user.email=ci@example.com", "commit", "--quiet", "--message=All of it"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--force", "--all"], commit):
        user.run("git", *command)

    line = unit("ephemeral-ports.service")["Service"]["ExecStart"]
    line = line.replace("/usr/bin/ansible-pull", str(BIN / "ansible-pull")).replace("%H", "proxy1")
    line = line.replace("https://git.example.com/infrastructure.git", f"file://{user.directory}")
    line = line.replace("/var/lib/infrastructure", str(tmp_path / "checkout"))
    path = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"  # as systemd sets it
    environment = [f"{name}={value}" for name, value in {**user.environment, "PATH": path}.items()]
    host = hosts["proxy1"]

    def pull() -> subprocess.CompletedProcess[str]:
        return host.run("env", "--ignore-environment", *environment, *shlex.split(line), check=False, cwd="/")

    first = pull()
    assert first.returncode == 0, first.stdout + first.stderr
    assert host.sysctls() == {**FIXED, RESERVED: AGENTS}
    assert hosts["proxy2"].sysctls() == PLAIN

    host.run("sh", "-c", f"echo 0 > /proc/sys/{REUSE.replace('.', '/')}")
    again = pull()
    assert again.returncode == 0, again.stdout + again.stderr
    assert host.sysctls() == {**FIXED, RESERVED: AGENTS}

    host.write(Path("/etc/sysctl.d/99-zzz-later.conf"), f"{REUSE} = 0\n")
    refused = pull()
    assert refused.returncode != 0
    assert "/etc/sysctl.d/99-zzz-later.conf" in refused.stdout


def test_runner(fleet: Fleet, tmp_path: Path) -> None:
    pytest.importorskip("ansible_runner")
    user, hosts = fleet
    reach(user, hosts)
    program = Controller(tmp_path / "program")
    program.write({name: FILES[name] for name in ("nightly.py", "runner/env/extravars")})
    (program.directory / "runner" / "project").symlink_to(user.directory)

    printed = program.run(*PROGRAM).stdout.splitlines()
    assert sorted(line.split()[:2] for line in printed) == [[name, "ok"] for name in hosts]
    artifacts = program.directory / "runner" / "artifacts"
    assert (artifacts / "nightly" / "rc").read_text() == "0"
    assert (artifacts / "nightly" / "status").read_text() == "successful"

    program.run(*BY_NAME)
    events = [json.loads(file.read_text()) for file in (artifacts / "by-name" / "job_events").glob("*.json")]
    looks = [
        event["event_data"]["res"]
        for event in events
        if event["event"] == "runner_on_ok" and event["event_data"]["task_action"] == f"{FQCN}.diagnosis"
    ]
    assert [look["level"] for look in looks] == ["ok"] * len(hosts)
    assert "sockstat" not in {look["usage"]["method"] for look in looks}  # which is what env/extravars asks for


def test_facts(fleet: Fleet) -> None:
    """What was remembered is told without a connection; what was not is not; the roles alone leave no fact behind."""
    user, hosts = fleet
    reach(user, hosts)
    (settings,) = re.findall(r"^\[defaults\]\n(fact_caching .*?)^```", (ROOT / "docs" / PAGE).read_text(), re.M | re.S)
    configuration = user.directory / "ansible.cfg"
    configuration.write_text(configuration.read_text().replace("[defaults]\n", f"[defaults]\n{settings}"))

    user.play("playbooks/ports_nightly.yml").passed()
    assert user.play(*RECALL[1:]).passed().text.count("never seen") == len(hosts)
    user.run(*REMEMBER, "--limit", "proxy1")
    (user.directory / "inventory" / "zz_private_hosts.yml").unlink()
    recalled = user.play(*RECALL[1:]).passed()
    assert recalled.said("ok: [proxy1] => msg: ok"), recalled.text
    assert recalled.text.count("never seen") == len(hosts) - 1
    kept = [file.read_text() for file in (user.directory / ".facts").iterdir() if "proxy1" in file.name]
    assert len(kept) == 1
    assert "timewait" not in kept[0]

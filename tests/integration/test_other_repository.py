# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed collection in infrastructure repositories that are not ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.release import __version__ as ansible_version

from .consumer import FQCN, Controller, commands_in_docs, copy_collection, files_in_docs, inventory
from .private_host import (
    DROPIN,
    FIXED,
    HOSTILE,
    PLAIN,
    RANGE,
    RESERVED,
    REUSE,
    ROOT,
    STATE,
    Host,
    Run,
    private_host,
    private_hosts,
)

PAGE = "in-your-repository.md"
HIJACK = dict.fromkeys(HOSTILE.split(), "{{ 'hijacked' }}")

# A repository that does things its own way: every syntax for roles, other strategies, secrets, hostile names.
SITE = """
- name: Before
  hosts: all
  gather_facts: "{{ facts | default(true) }}"
  any_errors_fatal: true
  tags: [ports]
  module_defaults:
    group/netops.ephemeral_ports.all:
      method: procfs
  handlers:
    - name: Who decides
      ansible.builtin.debug: {msg: "told {{ inventory_hostname }}"}
  roles:
    - role: netops.ephemeral_ports.timewait_diagnose
      timewait_diagnose_destination: 198.18.0.1:1001
      tags: [twice]
    - role: netops.ephemeral_ports.timewait_diagnose
      vars: {timewait_diagnose_destination: "198.18.0.1:1002", state: present, path: /nowhere, usage: theirs}
      tags: [twice]
  post_tasks:
    - name: Look by themselves
      netops.ephemeral_ports.port_usage_info: {detail: full}
      register: own_look
    - name: Show what they see
      ansible.builtin.debug: {msg: "method {{ own_look.method }}"}

- name: Change
  hosts: all
  strategy: free
  gather_facts: false
  become: true
  tags: [ports]
  vars: {plan: theirs, policy: theirs, settings: theirs}
  handlers:
    - name: Who decides
      ansible.builtin.debug: {msg: "told {{ inventory_hostname }}"}
  tasks:
    - name: Each concern in a file of its own
      ansible.builtin.include_role:
        name: netops.ephemeral_ports.timewait_remediate
        apply: {tags: [ports]}
      vars:
        timewait_remediate_path: "/etc/sysctl.d/99-zz-{{ concern.name }}.conf"
        timewait_remediate_ip_local_port_range: "{{ concern.range }}"
        timewait_remediate_tcp_tw_reuse: "{{ concern.reuse }}"
      loop:
        - {name: ports, range: "{{ secret_range }}", reuse: leave}
        - {name: reuse, range: leave, reuse: auto}
      loop_control: {loop_var: concern}
    - name: Note it
      ansible.builtin.debug: {msg: noted}
      changed_when: timewait_remediate_result is changed
      notify: Who decides

- name: Other things
  hosts: all
  gather_facts: false
  tasks:
    - name: Something of their own
      ansible.builtin.debug: {msg: "something else"}
      tags: [other]
    - name: Broken, and caught
      block:
        - name: Ask for what is refused
          ansible.builtin.import_role: {name: netops.ephemeral_ports.timewait_remediate}
          vars: {timewait_remediate_tcp_tw_reuse: 7}
      rescue:
        - name: Say so
          ansible.builtin.debug: {msg: "caught {{ ansible_failed_result.msg }}"}
      tags: [broken]
"""


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
    assert "has new port settings" not in predicted
    assert all(host.sysctls() == PLAIN for host in hosts.values())

    applied = user.run(*shlex.split(proxies)).stdout
    assert "proxy2 has new port settings" in applied
    assert "A ticket, a graph annotation" in applied
    agents = "20000,21000-21010"
    assert hosts["proxy1"].sysctls() == hosts["proxy2"].sysctls() == {**FIXED, RESERVED: agents}
    assert hosts["proxy3"].sysctls() == {**FIXED, RESERVED: agents, REUSE: PLAIN[REUSE]}
    assert hosts["node1"].sysctls() == PLAIN

    done = user.run(*shlex.split(everything)).stdout
    assert "has new port settings" not in done
    assert "A ticket" not in done
    assert hosts["node1"].sysctls() == {**FIXED, RESERVED: "30000-32767"}
    user.run(*shlex.split(nightly))
    report = json.loads((user.directory / "report" / "report.json").read_text())
    assert {host["name"] for host in report["hosts"]} == set(hosts)
    user.run(*shlex.split(rollback))
    assert {name for name, host in hosts.items() if host.sysctls() == PLAIN} == {"proxy1", "proxy2", "proxy3", "db1"}


CONFIGURATION = """
[defaults]
inventory = inventory
collections_path = collections
vault_password_file = password
"""
# What these were for is the only way since.
BEFORE_2_19 = tuple(map(int, ansible_version.split(".")[:2])) < (2, 19)
MANAGED = "ansible_managed = House rules apply\n" if BEFORE_2_19 else ""
NATIVE = {"ANSIBLE_JINJA2_NATIVE": "true"} if BEFORE_2_19 else {}

PORTS, OTHER = Path("/etc/sysctl.d/99-zz-ports.conf"), Path("/etc/sysctl.d/99-zz-reuse.conf")
THEIR_WAY = {RANGE: "15000 60999", RESERVED: "20000", REUSE: "1", "net.ipv4.tcp_timestamps": "1"}


@pytest.fixture
def their_own(installed: Path, tmp_path: Path) -> Iterator[tuple[Controller, dict[str, Host]]]:
    """A repository that does things its own way, with a secret in the inventory and hostile names everywhere."""
    user = Controller(tmp_path / "infrastructure")
    user.write(
        {
            "ansible.cfg": CONFIGURATION + MANAGED,
            "password": "open sesame\n",
            "site.yml": SITE,
            "inventory/group_vars/all/house.yml": json.dumps({"ansible_managed": "House rules apply", **HIJACK}),
            "inventory/group_vars/all/vault.yml": "timewait_remediate_reserve: [20000]\n"
            "timewait_remediate_accept_risk: [fewer_ports]\n",
        }
    )
    (user.directory / "collections").symlink_to(installed.parents[2])
    user.ansible("vault", "encrypt", "inventory/group_vars/all/vault.yml")
    secret = user.ansible("vault", "encrypt_string", "15000 60999", "--name", "secret_range").stdout
    user.write({"inventory/group_vars/all/secret.yml": secret})
    with private_hosts(tmp_path, "web1", "web2") as hosts:
        user.write({"inventory/hosts.yml": inventory(hosts)})
        yield user, hosts


@pytest.mark.parametrize(
    ("environment", "facts"),
    [
        ({"ANSIBLE_INJECT_FACT_VARS": "false"}, True),
        (NATIVE, False),
    ],
    ids=["no injected facts", "no facts"],
)
def test_their_own_way(their_own: tuple[Controller, dict[str, Host]], environment: dict[str, str], facts: bool) -> None:
    user, hosts = their_own
    options = ("-e", json.dumps({"facts": facts}), "-e", json.dumps(HIJACK))
    predicted = user.play("site.yml", "--check", "--diff", *options, **environment).passed()
    assert "+net.ipv4.ip_local_port_range = 15000 60999" in predicted.text
    assert "+# House rules apply" in predicted.text
    assert all(host.sysctls() == PLAIN for host in hosts.values())
    assert all(host.names(DROPIN.parent) == [] for host in hosts.values())

    done = user.play("site.yml", *options, **environment).passed()
    assert ("TASK [Gathering Facts]" in done.text) == facts
    assert done.text.count(f"[{FQCN}.timewait_diagnose : Observe how many ports") == 2
    assert done.said("method procfs")
    assert done.said("told web1")
    assert done.said("told web2")
    assert done.said("caught")
    assert "hijacked" not in done.text
    for host in hosts.values():
        assert host.sysctls() == THEIR_WAY
        assert {*host.names(DROPIN.parent)} == {PORTS.name, OTHER.name}
        assert (host.text(PORTS) or "").startswith("#\n# House rules apply\n#\n")
        assert RANGE in (host.text(PORTS) or "")
        assert RANGE not in (host.text(OTHER) or "")

    again = user.play("site.yml", *options, **environment).passed()
    assert again.changed == 0
    assert not again.said("told web1")


def test_tags_and_limit_reach_into_the_roles(their_own: tuple[Controller, dict[str, Host]]) -> None:
    user, hosts = their_own
    other = user.play("site.yml", "--skip-tags", "ports,broken").passed()
    assert other.said("something else")
    assert "timewait" not in other.text

    one = user.play("site.yml", "--tags", "ports", "--limit", "web1").passed()
    assert not one.said("something else")
    assert "web2" not in one.text
    assert (hosts["web1"].sysctls(), hosts["web2"].sysctls()) == (THEIR_WAY, PLAIN)

    listed = user.ansible("playbook", "site.yml", "--list-tags").stdout
    tags = {tag for line in re.findall(r"TASK TAGS: \[(.*)\]", listed) for tag in line.split(", ")}
    assert tags == {"ports", "twice", "other", "broken", "always"}  # the last is that of Ansible's check of arguments


def test_one_failing_host_stops_the_others_where_asked(their_own: tuple[Controller, dict[str, Host]]) -> None:
    """any_errors_fatal: the host that failed is as it was, and nobody comes to the next play."""
    user, hosts = their_own
    hosts["web2"].write(Path("/etc/sysctl.d/99-zzz-later.conf"), f"{REUSE} = 0\n")
    play = {"hosts": "all", "gather_facts": False, "become": True, "any_errors_fatal": True}
    role = {"role": f"{FQCN}.timewait_remediate"}
    later = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "next play"}}]}
    user.write({"careful.yml": json.dumps([{**play, "roles": [role]}, later])})
    run = user.play("careful.yml")
    assert run.failed
    assert run.said("/etc/sysctl.d/99-zzz-later.conf")
    assert not run.said("next play")
    assert (hosts["web2"].sysctls(), hosts["web2"].text()) == (PLAIN, None)


def test_variables_arrive_as_text_from_the_command_line(their_own: tuple[Controller, dict[str, Host]]) -> None:
    user, hosts = their_own
    play = {"hosts": "web1", "gather_facts": False, "become": True, "roles": [f"{FQCN}.timewait_remediate"]}
    user.write({"play.yml": json.dumps([play])})
    texts = {"tcp_tw_reuse": "0", "lock_timeout": "5", "reserve": "21000,22000-22002", "tcp_timestamps": "leave"}
    options = [f"-etimewait_remediate_{name}={value}" for name, value in texts.items()]
    user.play("play.yml", *options).passed()
    assert hosts["web1"].sysctls() == {**FIXED, RESERVED: "21000,22000-22002", REUSE: "0"}


# May read the files of the checkout, wherever it is; may not change anything.
CAPS = "+dac_read_search"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={CAPS}", f"--ambient-caps={CAPS}")
SU_ASKS_NOBODY = "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n"


@pytest.fixture
def unprivileged(installed: Path) -> Iterator[tuple[Host, list[str]]]:
    """A host, and how to run Ansible on it as a user who may do nothing, but may become root through su."""
    home = Path(tempfile.mkdtemp(prefix="unprivileged-", dir="/var/tmp"))  # that of pytest is for its owner alone
    home.chmod(0o777)
    copy_collection(installed.parents[2], home / "collections")
    with private_host(home) as host:
        (home / "su").write_text(SU_ASKS_NOBODY)
        host.run("mount", "--bind", str(home / "su"), "/etc/pam.d/su", check=False)
        probe = host.run(*NOBODY, "su", "root", "-c", shlex.join([sys.executable, "-c", "pass"]), check=False)
        if probe.returncode:
            pytest.skip(f"nobody cannot become root through su here: {probe.stderr.strip()}")
        ansible = {"COLLECTIONS_PATH": home / "collections", "REMOTE_TEMP": home / "remote"}
        variables = {"HOME": home, "LANG": "C.UTF-8", **{f"ANSIBLE_{name}": path for name, path in ansible.items()}}
        environment = [f"{name}={value}" for name, value in {**variables, "PATH": os.environ["PATH"]}.items()]
        yield host, [*NOBODY, "env", "--ignore-environment", f"--chdir={home}", *environment]
    shutil.rmtree(home)


def test_become(unprivileged: tuple[Host, list[str]]) -> None:
    """A login without rights: diagnosis works, a change is refused and changes nothing, and become makes it work."""
    host, login = unprivileged
    local = ("--inventory=localhost,", "--connection=local", "-e", f"ansible_python_interpreter={sys.executable}")

    def play(playbook: str, become: bool) -> Run:
        command = [*login, sys.executable, "-m", "ansible", "playbook", f"{FQCN}.{playbook}", *local]
        become_options = ("--become-method=su", "-e", json.dumps({"ephemeral_ports_become": become}))
        return Run(host.run(*command, *become_options, check=False))

    assert play("diagnose", become=False).passed().said("OK: ")
    refused = play("remediate", become=False)
    assert refused.failed
    assert refused.said("run this as root (become: true)"), refused.text
    assert refused.text.count("FAILED!") == 1, refused.text
    assert (host.sysctls(), host.text(), host.names(STATE)) == (PLAIN, None, [])

    assert play("remediate", become=True).passed().changed == 1
    assert host.sysctls() == FIXED
    assert play("rollback", become=True).passed().changed == 1
    assert (host.sysctls(), host.text(), host.names(STATE)) == (PLAIN, None, [])

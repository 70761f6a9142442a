# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action remediation in a playbook of somebody's own; as part of the role it is tested with the roles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .private_host import DROPIN, FIXED, PLAIN, REUSE, STATE, Host, Run, private_host, use_own_ansible

TEMPLATE = "# {{ whose }}\n{% for one in remediation_plan.dropin %}\n{{ one.key }} = {{ one.wanted }}\n{% endfor %}\n"
NAMES = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_timestamps")
WORSE = "/etc/sysctl.d/99-zzz.conf"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    use_own_ansible(tmp_path, monkeypatch)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "ours.conf.j2").write_text(TEMPLATE)
    with private_host(tmp_path) as made:
        yield made


def remediate(host: Host, *options: str, task: dict[str, Any] | None = None, **arguments: object) -> tuple[Run, Any]:
    """Run the task: the run, and what it registered (None where it failed)."""
    registered = host.home / "registered.json"
    registered.unlink(missing_ok=True)
    keep = {"content": "{{ result | to_json }}", "dest": str(registered), "mode": "0600"}
    tasks = [
        {
            "netops.ephemeral_ports.remediation": {"template": "ours.conf.j2", **arguments},
            "register": "result",
            "vars": {"whose": "ours"},
            **(task or {}),
        },
        {"ansible.builtin.copy": keep, "check_mode": False, "changed_when": False},
    ]
    playbook = host.home / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    run = Run(host.playbook(str(playbook), "-i", "localhost,", "-c", "local", *options))
    return run, json.loads(registered.read_text()) if registered.exists() else None


def is_untouched(host: Host) -> bool:
    return host.sysctls() == PLAIN and host.text() is None and host.names(STATE) == []


def test_one_task_then_none(host: Host) -> None:
    run, first = remediate(host)
    assert run.passed().changed == 1
    assert host.sysctls() == FIXED
    assert f"{REUSE} = 1" in (host.text() or "")
    assert first["usage"]["level"] == "ok"
    assert [one["key"] for one in first["plan"]["dropin"]] == [one["key"] for one in first["applied"]["settings"]]
    assert (first["changed"], first["applied"]["file"], first["error"]) == (True, "created", None)

    run, second = remediate(host)
    assert run.passed().changed == 0
    assert (second["changed"], second["applied"]["file"]) == (False, "unchanged")


def test_check_mode_and_diff(host: Host) -> None:
    run, predicted = remediate(host, "--check", "--diff")
    assert run.passed().changed == 1
    assert f"-{REUSE} = 2" in run.text.splitlines()
    assert predicted["applied"]["file"] == "created"
    assert is_untouched(host)


def test_an_error_fails_with_its_message_alone(host: Host) -> None:
    host.write(Path(WORSE), f"{REUSE} = 0\n")
    run, registered = remediate(host)
    assert run.failed
    assert registered is None
    assert WORSE in run.text
    assert "listening_ports" not in run.text
    assert is_untouched(host)


def test_an_error_can_be_left_to_a_later_task(host: Host) -> None:
    host.write(Path(WORSE), f"{REUSE} = 0\n")
    run, registered = remediate(host, on_error="return")
    assert run.passed().changed == 0
    assert WORSE in registered["error"]
    assert registered["usage"]["level"] == "ok"
    assert registered["plan"]["dropin"]
    assert (registered["changed"], registered["applied"]) == (False, None)
    assert is_untouched(host)


def test_warnings_of_the_apply_are_seen(host: Host) -> None:
    host.write(Path(WORSE), f"{REUSE} = 0\n")
    run, registered = remediate(host, on_conflict="warn")
    assert run.passed().changed == 1
    assert run.text.count("[WARNING]: ") == len(registered["warnings"]) > 0
    assert WORSE in registered["warnings"][0]


def test_nothing_to_set(host: Host) -> None:
    run, registered = remediate(host, policy=dict.fromkeys(NAMES, "leave"))
    assert run.passed().changed == 0
    assert registered["applied"] is None
    assert is_untouched(host)


BAD_INPUT: tuple[tuple[dict[str, object], str], ...] = (
    ({"policy": {"tcp_tw_reuse": True}}, "policy: tcp_tw_reuse"),
    ({"policy": {"tcp_tw_reuse": 1, "hands_off": 1}}, "hands_off is not a part of the policy"),
    ({"policy": "wide"}, "policy"),
    ({"on_error": "shrug"}, "on_error"),
    ({"on_conflict": "shrug"}, "on_conflict"),
    ({"template": "theirs.conf.j2"}, "theirs.conf.j2"),
    ({"lock_timeout": "soon", "policy": dict.fromkeys(NAMES, "leave")}, "lock_timeout"),
    ({"pathh": str(DROPIN)}, "pathh"),
    ({"lock_timeout": True}, "lock_timeout must be a number"),
)


def test_bad_input_is_refused_by_name(host: Host) -> None:
    tasks = []
    for number, (arguments, _words) in enumerate(BAD_INPUT):
        task = {"netops.ephemeral_ports.remediation": {"template": "ours.conf.j2", **arguments}}
        tasks.append({**task, "when": f"inventory_hostname == 'case{number}'", "vars": {"whose": "ours"}})
    said = host.refusals([{"hosts": "all", "gather_facts": False, "tasks": tasks}], [{} for _case in BAD_INPUT])
    assert [case for case, why in zip(BAD_INPUT, said, strict=True) if case[1] not in why] == [], said
    assert is_untouched(host)


def test_an_error_in_the_template_can_be_left_to_a_later_task(host: Host) -> None:
    run, registered = remediate(host, task={"vars": {}}, on_error="return")
    run.passed()
    assert "ours.conf.j2" in registered["error"]
    assert "whose" in registered["error"]
    assert registered["plan"]["dropin"]
    assert is_untouched(host)


def test_a_prediction_in_a_run_that_is_none(host: Host) -> None:
    run, predicted = remediate(host, task={"check_mode": True})
    run.passed()
    assert (predicted["check_mode"], predicted["applied"]["file"]) == (True, "created")
    assert is_untouched(host)


def test_why_a_module_crashed(host: Host) -> None:
    broken = host.home / "python"
    broken.write_text("#!/bin/sh\necho 'it is out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    variables = {"whose": "ours", "ansible_python_interpreter": str(broken)}
    run, registered = remediate(host, task={"vars": variables}, on_error="return")
    run.passed()
    assert registered["error"] == f"it is out of order ({broken}, exit code 1)"
    assert (registered["usage"], registered["plan"], registered["applied"]) == (None, None, None)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
def test_a_host_that_cannot_be_reached_is_unreachable(host: Host) -> None:
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "whose": "ours"}
    run, registered = remediate(host, task={"vars": away}, on_error="return")
    assert run.failed
    assert registered is None
    assert "unreachable=1" in run.text


BAD_VARIABLES = (
    ("tcp_tw_reuse", "7", "tcp_tw_reuse: '7' is not one of"),
    ("on_conflict", "shrug", "value of on_conflict must be one of"),
    ("path", "/etc/sysctl.d/without-suffix", "path must be absolute and end in .conf"),
    ("lock_timeout", "soon", "lock_timeout"),
    ("trial", "perhaps", "trial"),
)


def test_the_playbook_which_leaves_the_checks_to_the_action(host: Host) -> None:
    cases = []
    for name, value, _words in BAD_VARIABLES:
        cases.append({f"timewait_remediate_{name}": value, "ephemeral_ports_become": False})
    said = host.refusals([{"ansible.builtin.import_playbook": "netops.ephemeral_ports.remediate"}], cases)
    assert [case for case, why in zip(BAD_VARIABLES, said, strict=True) if case[2] not in why] == [], said
    assert is_untouched(host)

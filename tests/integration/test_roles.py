# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles as users call them: by ansible-playbook, on a host that is a set of private namespaces."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .private_host import (
    DROPIN,
    FIXED,
    HOSTILE,
    PLAIN,
    RANGE,
    RESERVED,
    REUSE,
    STATE,
    TIMESTAMPS,
    Host,
    Run,
    private_host,
    use_own_ansible,
)

FIXED_TEXT = """\
#
# Ansible managed
#
# Written by the role netops.ephemeral_ports.timewait_remediate. What was set before is kept, and
# ansible-playbook netops.ephemeral_ports.rollback sets it again.

# Local ports for outgoing connections; this many for each destination.
net.ipv4.ip_local_port_range = 10240 65535

# tcp_tw_reuse works for connections that have timestamps only.
net.ipv4.tcp_timestamps = 1

# Whether an outgoing connection may reuse a port that is in TIME_WAIT.
net.ipv4.tcp_tw_reuse = 1
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    use_own_ansible(tmp_path, monkeypatch)
    with private_host(tmp_path) as made:
        yield made


def is_untouched(host: Host) -> bool:
    return host.sysctls() == PLAIN and host.text() is None and host.names(STATE) == []


def test_remediate_then_nothing_left_to_do(host: Host) -> None:
    first = host.play("timewait_remediate").passed()
    assert first.changed == 1
    assert first.said("CHANGE 2 of 5 settings: at most 55296 new connections/s per destination up from 8.3.")
    assert (host.sysctls(), host.text()) == (FIXED, FIXED_TEXT)

    second = host.play("timewait_remediate").passed()
    assert second.changed == 0
    assert second.said("NO CHANGE")
    assert second.said(f"UNCHANGED: {DROPIN} and the running kernel already match.")
    assert (host.sysctls(), host.text()) == (FIXED, FIXED_TEXT)


def test_check_mode_predicts_and_touches_nothing(host: Host) -> None:
    predicted = host.play("timewait_remediate", "--check", "--diff").passed()
    assert predicted.changed == 1
    assert is_untouched(host)
    assert textwrap.indent(FIXED_TEXT, "+").splitlines()[-1] in predicted.text.splitlines()
    assert "-net.ipv4.tcp_tw_reuse = 2" in predicted.text.splitlines()
    assert predicted.said(f"WOULD CHANGE: {DROPIN} and the running kernel.")

    done = host.play("timewait_remediate", "--diff").passed()
    assert diff_lines(done) == diff_lines(predicted)
    assert host.play("timewait_remediate", "--check").passed().changed == 0


def diff_lines(run: Run) -> list[str]:
    return [line for line in run.text.splitlines() if re.match(r"[-+](?![-+])", line)]


def test_rollback_twice(host: Host) -> None:
    host.play("timewait_remediate").passed()
    predicted = host.play("timewait_remediate", "--check", entry="rollback").passed()
    assert predicted.changed == 1
    assert predicted.said(f"WOULD ROLL BACK: {DROPIN} is removed.")
    assert (host.sysctls(), host.text()) == (FIXED, FIXED_TEXT)

    assert host.play("timewait_remediate", entry="rollback").passed().changed == 1
    assert is_untouched(host)
    assert host.play("timewait_remediate", entry="rollback").passed().changed == 0
    assert is_untouched(host)


def test_rollback_brings_back_the_file_that_was_there(host: Host) -> None:
    host.write(DROPIN, "# mine\nvm.swappiness = 10\n")
    host.play("timewait_remediate").passed()
    assert host.text() == FIXED_TEXT
    host.play("timewait_remediate", entry="rollback").passed()
    assert (host.sysctls(), host.text()) == (PLAIN, "# mine\nvm.swappiness = 10\n")


def test_variables_of_the_caller_do_not_hijack_the_role(host: Host) -> None:
    hostile = dict.fromkeys(HOSTILE.split(), "{{ 'hijacked' }}")
    host.play("timewait_remediate", play_vars=hostile).passed()
    assert (host.sysctls(), host.text()) == (FIXED, FIXED_TEXT)
    diagnosis = host.play("timewait_diagnose", play_vars=hostile).passed()
    assert diagnosis.said("OK: no destination blocks ")
    assert host.play("timewait_remediate", play_vars=hostile).passed().changed == 0
    host.play("timewait_remediate", play_vars=hostile, entry="rollback").passed()
    assert is_untouched(host)


BAD_INPUT: tuple[tuple[str, object], ...] = (
    ("ip_local_port_range", True),
    ("ip_local_reserved_ports", True),
    ("tcp_tw_reuse", True),
    ("tcp_timestamps", False),
    ("tcp_tw_recycle", True),
    ("reserve", [True]),
    ("lock_timeout", True),
    ("ip_local_port_range", "60000 20000"),
    ("ip_local_port_range", "80 65535"),
    ("ip_local_reserved_ports", "80,,90"),
    ("tcp_tw_reuse", 3),
    ("accept_risk", ["everything"]),
    ("path", "/etc/sysctl.d/without-suffix"),
)


def test_bad_input_is_refused_by_name(host: Host) -> None:
    role = "timewait_remediate"
    cases: list[dict[str, object]] = [{"role": role, f"{role}_{option}": value} for option, value in BAD_INPUT]
    said = host.refusals([play_of(role)], cases)
    assert [case for case, why in zip(BAD_INPUT, said, strict=True) if case[0] not in why] == [], said
    assert is_untouched(host)


def play_of(role: str) -> dict[str, Any]:
    task = {"ansible.builtin.include_role": {"name": f"netops.ephemeral_ports.{role}"}}
    return {"hosts": "all", "gather_facts": False, "tasks": [{**task, "when": f"role == '{role}'"}]}


def test_nothing_left_to_set(host: Host) -> None:
    names = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_timestamps")
    run = host.play("timewait_remediate", **dict.fromkeys(names, "leave")).passed()
    assert run.said("The policy leaves every setting alone.")
    assert run.changed == 0
    assert is_untouched(host)


def test_what_the_inventory_no_longer_asks_for_goes(host: Host) -> None:
    host.play("timewait_remediate", reserve=[21000], ip_local_port_range="4000 65535").passed()
    predicted = host.play("timewait_remediate", "--check", tcp_tw_reuse="leave").passed()
    assert "release     net.ipv4.tcp_tw_reuse: 1" in predicted.text, predicted.text
    host.play("timewait_remediate", tcp_tw_reuse="leave").passed()
    assert host.sysctls() == {**FIXED, REUSE: "2"}
    assert host.play("timewait_remediate", tcp_tw_reuse="leave").passed().changed == 0
    names = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_timestamps")
    host.play("timewait_remediate", **dict.fromkeys(names, "leave")).passed()
    assert is_untouched(host)


def test_a_wish_that_is_refused_fails_the_run(host: Host) -> None:
    for options in (["--check"], []):
        run = host.play("timewait_remediate", *options, ip_local_port_range="40000 65535")
        assert run.failed
        assert "the plan refuses what you chose: ip_local_port_range: 40000 65535 would narrow" in run.text
    assert is_untouched(host)
    run = host.play("timewait_remediate", ip_local_port_range="40000 65535", on_refused="warn").passed()
    assert "refused: ip_local_port_range: 40000 65535 would narrow" in run.text
    assert host.sysctls()[REUSE] == "1"


def test_one_key_is_rolled_back(host: Host) -> None:
    host.play("timewait_remediate").passed()
    host.play("timewait_remediate", entry="rollback", rollback_keys=[REUSE]).passed()
    assert host.sysctls() == {**FIXED, REUSE: "2"}
    assert REUSE not in (host.text() or "")
    host.play("timewait_remediate", entry="rollback").passed()
    assert is_untouched(host)


def test_template_of_the_user(host: Host) -> None:
    template = host.home / "mine.conf.j2"
    template.write_text(
        "{% for setting in remediation_plan.dropin %}\n{{ setting.key }}={{ setting.wanted }}\n{% endfor %}\n"
    )
    host.play("timewait_remediate", template=str(template), tcp_tw_reuse="leave").passed()
    assert host.text() == f"{RANGE}=10240 65535\n{TIMESTAMPS}=1\n"
    assert host.sysctls() == {**FIXED, REUSE: "2"}


def test_services_keep_their_ports(host: Host) -> None:
    serve = "import socket; s = socket.create_server(('198.18.0.1', 20000)); print(flush=True); input()"
    command = [*host.enter, sys.executable, "-c", serve]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        service.stdout.readline()
        host.play("timewait_remediate", reserve=[21000, "30000-30002"]).passed()
        service.communicate("\n")
    assert host.sysctls() == {**FIXED, RESERVED: "20000,21000,30000-30002"}
    assert "#   21000,30000-30002: named in the inventory" in (host.text() or "")
    assert host.play("timewait_remediate", reserve=[21000, "30000-30002"]).passed().changed == 0


LOAD = {"serve": "198.18.0.1", "serve_port": 8080, "total": 600, "time_limit": 20}


def test_stress_reports_and_diagnosis_fails_where_asked(host: Host) -> None:
    stress = host.play("timewait_stress", **LOAD).passed()
    assert stress.said("FAILED: 100 of 600 connections to http://198.18.0.1:8080/ failed.")
    assert stress.said("100 x curl 7 (CURLE_COULDNT_CONNECT) errno 99 (EADDRNOTAVAIL)")

    for level in ("warning", "critical", "exhausted"):
        gate = host.play("timewait_diagnose", fail_at=level)
        assert gate.failed
        assert gate.said("EXHAUSTED: no local port is left towards 198.18.0.1:8080: 500 of 500 are blocked.")
        assert gate.said(f"the level is exhausted and fail_at is {level}")
        assert "['" not in gate.text
    host.play("timewait_diagnose").passed()
    host.play("timewait_diagnose", fail_at="critical", destination="198.18.0.1:8081").passed()
    host.play("timewait_diagnose", fail_at="critical", critical_threshold=1, warning_threshold=1)
    assert is_untouched(host)


FAILING = """
import socket, time
server = socket.create_server(("198.18.0.1", 8099), backlog=1024)
kept = [socket.socket() for _turn in range(500)]
for one in kept:
    one.connect(("198.18.0.1", 8099))
print("ready", flush=True)
while True:
    socket.socket().connect_ex(("198.18.0.1", 8099))
    time.sleep(0.01)
"""


def test_diagnosis_names_who_finds_no_port(host: Host) -> None:
    with subprocess.Popen([*host.enter, sys.executable, "-c", FAILING], stdout=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        try:
            check = host.play("timewait_diagnose", "--check", who=1)
            run = host.play("timewait_diagnose", who=1, fail_at="exhausted")
            off = host.play("timewait_diagnose")
        finally:
            program.kill()
    assert check.passed().said("NOT TRACED: nothing is traced in check mode.")
    assert not off.said("TRACED")
    assert not off.said("FAILING")
    if run.said("NOT TRACED: root may not trace here as in a container or where the kernel is locked."):
        pytest.skip("not traced here")
    assert run.failed
    assert run.said("connects in 1.0 s found no local port.")
    assert re.search(r"python\S* .*198\.18\.0\.1:8099", run.text)


def test_stress_fails_where_asked(host: Host) -> None:
    assert not host.play("timewait_stress", **LOAD, max_failed=100).failed
    run = host.play("timewait_stress", **{**LOAD, "total": 3}, max_failed=0)
    assert run.failed
    assert run.said("FAILED: 3 of 3 connections to http://198.18.0.1:8080/ failed.")


def test_stress_passes_where_ports_suffice(host: Host) -> None:
    run = host.play("timewait_stress", **{**LOAD, "total": 100}, max_failed=0).passed()
    assert run.said("PASSED: all 100 connections to http://198.18.0.1:8080/ succeeded.")


def test_stress_in_check_mode_sends_nothing(host: Host) -> None:
    run = host.play("timewait_stress", "--check", **LOAD, max_failed=0).passed()
    assert "connections to" not in run.text


BAD_INPUT_OF_THE_OTHERS: tuple[tuple[str, dict[str, object], str], ...] = (
    ("timewait_stress", {"serve": "198.18.0.1", "time_limit": 1}, "timewait_stress_total"),
    ("timewait_stress", {"serve": "198.18.0.1", "total": 1}, "timewait_stress_time_limit"),
    ("timewait_stress", {"total": 1, "time_limit": 1}, "url, serve"),
    ("timewait_stress", {**LOAD, "total": True}, "total"),
    ("timewait_stress", {**LOAD, "max_failed": True}, "max_failed"),
    ("timewait_stress", {"url": "http:///", "total": 1, "time_limit": 1}, "url"),
    ("timewait_diagnose", {"fail_at": "sometimes"}, "timewait_diagnose_fail_at"),
    ("timewait_diagnose", {"max_pools": True}, "max_pools"),
    ("timewait_diagnose", {"who": -1}, "seconds"),
    ("timewait_diagnose", {"who": "long"}, "who"),
    ("timewait_diagnose", {"warning_threshold": 2}, "warning_threshold"),
    ("timewait_diagnose", {"destination": "example.com"}, "destination"),
    ("timewait_rollout", {}, "import the playbook netops.ephemeral_ports.rollout"),
)


def test_bad_input_of_the_others(host: Host) -> None:
    cases = []
    for role, inputs, _named in BAD_INPUT_OF_THE_OTHERS:
        cases.append({"role": role, **{f"{role}_{option}": value for option, value in inputs.items()}})
    said = host.refusals(
        [play_of(role) for role in ("timewait_stress", "timewait_diagnose", "timewait_rollout")], cases
    )
    assert [case for case, why in zip(BAD_INPUT_OF_THE_OTHERS, said, strict=True) if case[2] not in why] == [], said

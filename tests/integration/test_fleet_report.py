# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as users get it: from runs of ansible-playbook over several hosts, of which some fail.

All local hosts of a run share one set of private namespaces, so that a remediation reaches nothing else.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .conftest import InNamespace
from .private_host import private_host

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "netops.ephemeral_ports"
FILES = ["report.csv", "report.html", "report.json"]

# Three hosts that answer, one behind a closed port, one whose interpreter does not exist.
HOSTS = {
    **{f"web{number:02}": {} for number in range(1, 4)},
    "gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
    "broken": {"ansible_python_interpreter": "/nonexistent/python3"},
}
LOST = "Failed to connect to the host via ssh: ssh: connect to host HOST port 1: Connection refused"


class Controller:
    """Runs playbooks in private namespaces, with a configuration of its own and a home of this process."""

    def __init__(self, home: Path, in_namespace: InNamespace) -> None:
        self.home = home
        self.in_namespace = in_namespace
        self.reports = home / "reports"
        self.environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
            "ANSIBLE_HOME": str(home.parent / "home"),
            "ANSIBLE_REMOTE_TEMP": str(home.parent / "remote"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(home.parent),
        }

    def play(
        self, *playbooks: str, hosts: Mapping[str, Mapping[str, Any]] | None = None, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Whatever the run comes to; -e of the report is an option like any other."""
        inventory = self.home / "inventory.json"
        local = {"ansible_connection": "local"}
        all_hosts = {name: {**local, **variables} for name, variables in (HOSTS if hosts is None else hosts).items()}
        inventory.write_text(json.dumps({"all": {"hosts": all_hosts}}))
        names = [one if "/" in one else f"{COLLECTION}.{one}" for one in playbooks]
        with private_host(self.home) as host:
            return host.playbook(f"--inventory={inventory}", *names, *options, **self.environment)

    def write_play(self, *tasks: Mapping[str, Any], name: str = "own.yml", **play: Any) -> str:
        path = self.home / name
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks, **play}]))
        return str(path)

    def report(self, directory: Path | None = None) -> dict[str, Any]:
        return dict(json.loads(((directory or self.reports) / "report.json").read_text()))


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_namespace: InNamespace) -> Controller:
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "EPHEMERAL_PORTS"))]:
        monkeypatch.delenv(name)
    return Controller(tmp_path, in_namespace)


def summary(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that follow the recap under their own banner, of which there is one. What else runs on this machine
    decides what is not observed.
    """
    assert done.stdout.count("EPHEMERAL PORTS ****") == 1, done.stdout + done.stderr
    lines = done.stdout.partition("EPHEMERAL PORTS ")[2].splitlines()[1:]
    return [line for line in lines if not line.startswith("Not observed: ")]


def tasks_and_recap(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"^(?:TASK|PLAY|RUNNING HANDLER) \[.*?]|^\S+ +: ok=\d.*$", done.stdout, re.MULTILINE)


def states(report: Mapping[str, Any]) -> dict[str, str]:
    return {host["name"]: host["state"] for host in report["hosts"]}


def test_a_diagnosis_of_five_hosts(controller: Controller) -> None:
    done = controller.play("diagnose", options=("-e", f"ephemeral_ports_report={controller.reports}"))
    assert (done.returncode, done.stderr.count("Traceback")) == (4, 0), done.stdout + done.stderr

    assert sorted(path.name for path in controller.reports.iterdir()) == FILES
    report = controller.report()
    answered = dict.fromkeys(("web01", "web02", "web03"), "observed")
    assert states(report) == {"broken": "failed", "gone": "unreachable", **answered}
    assert report["meta"]["playbooks"] == [f"{COLLECTION}.diagnose"]
    assert report["meta"]["check_mode"] is False
    assert report["meta"]["started"] <= report["meta"]["ended"]
    assert [host["usage"]["level"] for host in report["hosts"] if host["usage"]] == ["ok"] * 3
    lost = {group["state"]: group for group in report["summary"]["lost"]}
    assert lost["unreachable"]["reason"].endswith(LOST)
    assert (lost["failed"]["names"], "/nonexistent/python3" in lost["failed"]["reason"]) == (["broken"], True)
    rows = list(csv.DictReader((controller.reports / "report.csv").read_text().splitlines()))
    assert [row["host"] for row in rows] == ["broken", "gone", "web01", "web02", "web03"]
    assert "web03" in (controller.reports / "report.html").read_text()

    lines = summary(done)
    assert " ".join(lines[:2]).strip() == "5 hosts: 3 ok, 2 unknown. In this run: 1 failed, 1 unreachable, 3 observed."
    assert "Unreachable: 1 host" in lines
    assert "      1 host: gone" in lines
    assert lines[-1] == f"Report: {controller.reports}/report.html, report.json, report.csv"


def test_neither_tasks_nor_recap_know_of_it(controller: Controller) -> None:
    """The same as without the plugin, whose place is beside the playbook."""
    with_report = controller.play("diagnose", options=("-e", f"ephemeral_ports_report={controller.reports}"))
    role = controller.write_play(
        name="own.yml",
        tasks=[
            {
                "ansible.builtin.import_role": {
                    "name": f"{COLLECTION}.timewait_diagnose",
                    "rolespec_validate": False,
                }
            }
        ],
        serial="100%",
        become=False,
    )
    without = controller.play(role)
    assert "EPHEMERAL PORTS" not in without.stdout
    assert sorted(tasks_and_recap(with_report)[1:]) == sorted(tasks_and_recap(without)[1:])


def test_a_remediation_looked_at_before_and_after(controller: Controller) -> None:
    load = ("-e", "timewait_stress_serve=198.18.0.1", "-e", "timewait_stress_time_limit=60")
    done = controller.play(
        *("stress", "diagnose", "remediate", "diagnose", "rollback"),
        hosts={"web01": {}},
        options=(
            *("-e", f"ephemeral_ports_report={controller.reports}", "-e", "timewait_diagnose_detail=full"),
            *("-e", "timewait_stress_total=600", "-e", "timewait_stress_serve_port=8080"),
            *("-e", "ephemeral_ports_become=false", *load),
        ),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (host,) = controller.report()["hosts"]
    assert (host["state"], host["usage"]["level"], host["usage_after"]) == ("rolled_back", "exhausted", None)
    assert [change["file"] for change in host["changes"]] == ["created", "removed"]
    assert host["stress"][0]["port_exhaustion"] > 0
    reuse = [group for group in controller.report()["summary"]["settings"] if group["key"] == "net.ipv4.tcp_tw_reuse"]
    assert [(group["how"], group["before"], group["after"]) for group in reuse] == [("rolled_back", "1", "2")]
    assert [name.rpartition(".")[2] for name in controller.report()["meta"]["playbooks"]] == [
        *("stress", "diagnose", "remediate", "diagnose", "rollback"),
    ]


def test_after_a_change_the_last_look_counts_and_check_mode_is_none(controller: Controller) -> None:
    common = ("-e", f"ephemeral_ports_report={controller.reports}", "-e", "ephemeral_ports_become=false")
    done = controller.play("remediate", hosts={"web01": {}, "web02": {}}, options=(*common, "--check"))
    assert done.returncode == 0, done.stdout + done.stderr
    report = controller.report()
    assert set(states(report).values()) == {"would_change"}
    assert report["meta"]["check_mode"] is True
    assert "(check mode)" in summary(done)[0]

    one = {"web01": {}}
    done = controller.play("remediate", "diagnose", hosts=one, options=(*common, "-e", "timewait_diagnose_detail=full"))
    assert done.returncode == 0, done.stdout + done.stderr
    (host,) = controller.report()["hosts"]
    assert host["state"] == "changed"
    assert host["usage"]["sysctls"]["net.ipv4.tcp_tw_reuse"] == "2"
    assert host["usage_after"]["sysctls"]["net.ipv4.tcp_tw_reuse"] == "1"


def test_a_rollout(controller: Controller) -> None:
    quick = ("-e", "timewait_rollout_baseline=0", "-e", "timewait_rollout_soak=0", "-e", "ephemeral_ports_become=false")
    done = controller.play(
        "rollout",
        hosts={"web01": {}, "gone": HOSTS["gone"]},
        options=("-e", f"ephemeral_ports_report={controller.reports}", *quick),
    )
    assert done.returncode == 4, done.stdout + done.stderr
    report = controller.report()
    assert states(report) == {"gone": "unreachable", "web01": "changed"}
    assert report["summary"]["waves"] == [
        {"wave": 1, "hosts": 1, "states": {"changed": 1}, "names": {"changed": ["web01"]}},
        {"wave": None, "hosts": 1, "states": {"unreachable": 1}, "names": {"unreachable": ["gone"]}},
    ]
    told = "Rollout finished: of 2 hosts 1 is changed, 1 could not be reached"
    assert f"{told}." in " ".join(summary(done))
    host = report["hosts"][1]
    assert host["outcome"]["gate"]["passed"] is True
    assert [change["check_mode"] for change in host["changes"]] == [False]  # that it was confirmed is none
    assert host["usage"]["sysctls"]["net.ipv4.tcp_tw_reuse"] == "2"
    assert host["usage_after"]["sysctls"]["net.ipv4.tcp_tw_reuse"] == "1"
    page = (controller.reports / "report.html").read_text()
    assert f"<h1>{told}</h1>" in page
    for check in host["outcome"]["gate"]["checks"]:
        assert check["id"] in page


def test_one_report_where_it_is_enabled_twice(controller: Controller) -> None:
    controller.environment["ANSIBLE_CALLBACKS_ENABLED"] = f"{COLLECTION}.fleet_report"
    done = controller.play("diagnose", options=("-e", f"ephemeral_ports_report={controller.reports}"))
    assert len(states(controller.report())) == 5
    assert summary(done)[-1].startswith("Report: ")


def test_in_own_playbooks_it_is_enabled_by_configuration(controller: Controller) -> None:
    (controller.home / "ansible.cfg").write_text(
        f"[defaults]\ncallbacks_enabled = {COLLECTION}.fleet_report\n[callback_fleet_report]\ndirectory = ~/from-ini\n"
    )
    controller.environment |= {"ANSIBLE_CONFIG": str(controller.home / "ansible.cfg"), "HOME": str(controller.home)}
    fails = {"ansible.builtin.fail": {"msg": "No space."}, "when": "inventory_hostname == 'web03'"}
    unrelated = {"hosts": "web02,web03", "gather_facts": False, "tasks": [fails]}
    ours = {"hosts": "web01,web02", "gather_facts": False, "roles": [f"{COLLECTION}.timewait_diagnose"]}
    playbook = controller.home / "own.yml"
    playbook.write_text(json.dumps([unrelated, ours]))
    done = controller.play(str(playbook))
    assert states(controller.report(controller.home / "from-ini")) == {"web01": "observed", "web02": "observed"}
    assert summary(done)[0] == "2 hosts: all ok."

    controller.environment["EPHEMERAL_PORTS_REPORT"] = "~/from-environment"
    controller.play(str(playbook))
    assert controller.report(controller.home / "from-environment")["meta"]["playbooks"] == ["own.yml"]

    ours["vars"] = {"ephemeral_ports_report": "{{ lookup('ansible.builtin.env', 'HOME') }}/from-play"}
    playbook.write_text(json.dumps([unrelated, ours]))
    controller.play(str(playbook))
    assert controller.report(controller.home / "from-play")["schema"] == 1


def test_one_host_and_no_directory_print_nothing(controller: Controller) -> None:
    done = controller.play("diagnose", hosts={"web01": {}})
    assert (done.returncode, "EPHEMERAL PORTS" in done.stdout) == (0, False)
    two = controller.play("diagnose", hosts={"web01": {}, "web02": {}})
    assert summary(two)[0] == "2 hosts: all ok."


# As small as a stdout callback for programs can be.
DOCUMENT = """
DOCUMENTATION = "name: document\\ntype: stdout\\nshort_description: One document of JSON\\ndescription: Nothing else."
import json
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "document"

    def v2_playbook_on_stats(self, stats):
        self._display.display(json.dumps({"hosts": sorted(stats.processed)}))
"""


def test_stdout_stays_what_a_program_reads(controller: Controller) -> None:
    (controller.home / "callbacks").mkdir()
    (controller.home / "callbacks/document.py").write_text(DOCUMENT)
    controller.environment |= {"ANSIBLE_CALLBACK_PLUGINS": str(controller.home / "callbacks")}
    controller.environment |= {"ANSIBLE_STDOUT_CALLBACK": "document"}
    done = controller.play("diagnose", hosts={"web01": {}, "web02": {}})
    assert json.loads(done.stdout) == {"hosts": ["web01", "web02"]}
    assert "2 hosts: all ok." in done.stderr.splitlines()

    controller.environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    assert summary(controller.play("diagnose", hosts={"web01": {}, "web02": {}}))[0] == "2 hosts: all ok."


def test_a_run_without_our_tasks_prints_nothing(controller: Controller) -> None:
    controller.environment["ANSIBLE_CALLBACKS_ENABLED"] = f"{COLLECTION}.fleet_report"
    own = controller.write_play({"ansible.builtin.command": "false"})
    done = controller.play(own, options=("-e", f"ephemeral_ports_report={controller.reports}"))
    assert "failed=1" in done.stdout
    assert "EPHEMERAL PORTS" not in done.stdout
    assert not controller.reports.exists()


def test_a_directory_that_cannot_be_written_is_one_warning(controller: Controller) -> None:
    (controller.home / "reports").write_text("a file")
    controller.environment["HOME"] = str(controller.home)
    done = controller.play("diagnose", hosts={"web01": {}}, options=("-e", "ephemeral_ports_report=~/reports"))
    assert done.returncode == 0
    text = " ".join((done.stdout + done.stderr).split())
    assert text.count("The report could not be written") == 1
    warning = f"[WARNING]: The report could not be written to {controller.home}/reports: File exists."
    assert "".join(warning.split()) in "".join(text.split())  # ansible-core 2.16 breaks long words
    assert (controller.home / "reports").read_text() == "a file"


def test_serial_limit_and_rescue(controller: Controller) -> None:
    task = {"netops.ephemeral_ports.port_usage_info": {"destination": "{{ wrong | default(omit) }}"}}
    ignored = {"netops.ephemeral_ports.port_usage_info": {"method": "nonsense"}, "ignore_errors": True}
    own = controller.write_play(
        {"block": [task], "rescue": [{"ansible.builtin.debug": {"msg": "Never mind."}}]}, ignored, serial=1
    )
    controller.environment["ANSIBLE_CALLBACKS_ENABLED"] = f"{COLLECTION}.fleet_report"
    done = controller.play(
        own,
        hosts={"web01": {}, "web02": {"wrong": "nobody"}, "web03": {}, "web04": {}},
        options=("-e", f"ephemeral_ports_report={controller.reports}", "--limit=web01,web02,web03"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(controller.report()) == {"web01": "observed", "web02": "observed", "web03": "observed"}
    assert controller.report()["hosts"][1]["error"] is None
    assert controller.report()["summary"]["levels"]["unknown"] == 1


def test_slices_side_by_side_are_one_report(controller: Controller, tmp_path: Path) -> None:
    """By ansible-runner, as AWX runs the slices of a job; then what has changed since."""
    hosts = {f"web{number:02}": {} for number in range(1, 5)} | {"gone": HOSTS["gone"]}
    for number, limit in enumerate(("web01,web02", "web03,gone"), 1):
        private = tmp_path / f"runner{number}"
        (private / "inventory").mkdir(parents=True)
        named = {name: {"ansible_connection": "local", **more} for name, more in hosts.items()}
        (private / "inventory/hosts.json").write_text(json.dumps({"all": {"hosts": named}}))
        (private / "limit").write_text(limit)
    source = """
import sys, threading
import ansible_runner
from pathlib import Path
def run(directory):
    done = ansible_runner.run(
        private_data_dir=directory, playbook="netops.ephemeral_ports.diagnose", quiet=True,
        limit=Path(directory, "limit").read_text(), extravars={"ephemeral_ports_report": directory + "/report"},
    )
    assert done.rc in (0, 4), done.stdout.read()
threads = [threading.Thread(target=run, args=(one,)) for one in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    environment = {**controller.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    controller.in_namespace(source, *(str(tmp_path / f"runner{one}") for one in (1, 2)), environment=environment)

    together = json.dumps({"ephemeral_ports_merge": [f"{tmp_path}/runner*/report"]})
    options = ("-e", together, "-e", f"ephemeral_ports_report={controller.reports}")
    done = controller.play("report", hosts=hosts, options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    report = controller.report()
    answered = dict.fromkeys(("web01", "web02", "web03"), "observed")
    assert states(report) == {"gone": "unreachable", **answered}
    assert [one["hosts"] for one in report["merged"]["files"]] == [2, 2]
    assert report["merged"]["missing"] == ["web04"]
    assert "Put together from 2 reports." in summary(done)
    assert "1 host of the inventory in no report: web04." in summary(done)

    again = json.dumps({"ephemeral_ports_earlier": [str(controller.reports)]})
    new = tmp_path / "new"
    done = controller.play("diagnose", hosts=hosts, options=("-e", again, "-e", f"ephemeral_ports_report={new}"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert controller.report(new)["days"]["appeared"] == ["web04"]

    done = controller.play("report", hosts=hosts)
    assert "give the reports as ephemeral_ports_merge" in done.stdout

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback fleet_report: one report over all hosts of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
type: notification
short_description: Report on the ephemeral ports of all hosts of a run
version_added: 1.0.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - Collects what the modules and roles of this collection returned for each host, and makes one report of it, the worst
    first. It runs on the controller, adds no task, and reads nothing from the hosts.
  - After the recap it prints a summary, if more than one host took part or O(directory) is given. Where the stdout
    callback is made for programs, as C(ansible.posix.json) is, the summary goes to stderr.
  - In O(directory) it writes C(report.html), one page for people that needs no network, C(report.json) with everything,
    and C(report.csv) with a row for each destination of each host. C(docs/report.md) of the collection describes
    them.
  - Hosts that failed or could not be reached are in the report with the reason.
  - Where the inventory names the NAT gateway that hosts are behind, as C(ephemeral_ports_nat), what they have towards
    each destination is added up, which tells whether the gateway has a port left (C(docs/nat.md)), and C(gateways.csv)
    is written, too.
  - The playbooks of this collection have it switched on. In your own playbooks, name it in C(callbacks_enabled).
options:
  directory:
    description:
      - Where to write the three files. The directory is created where it is missing, and files in it are replaced. A
        relative path starts at the working directory.
      - As a variable it may stand in the play or on the command line, not in the inventory.
      - Where it cannot be written, a warning says why, and the run goes on.
    type: str
    vars:
      - name: ephemeral_ports_report
    env:
      - name: EPHEMERAL_PORTS_REPORT
    ini:
      - section: callback_fleet_report
        key: directory
  merge:
    description:
      - Reports to merge into this one, those of slices, of AWX, or of hosts that report by themselves. Each is a
        C(report.json), a directory that has one, a pattern of those, or a file C(HOST.json) with what
        M(netops.ephemeral_ports.port_usage_info) returned on a host.
      - Of a host that several tell of, the one counts that was made last. Those hosts, files that cannot be read, and
        hosts of the inventory that are in none of them are named.
    type: list
    elements: str
    default: []
    vars:
      - name: ephemeral_ports_merge
    env:
      - name: EPHEMERAL_PORTS_MERGE
  earlier:
    description:
      - Reports of earlier days, given as those of O(merge). The report then tells what has changed since the last day,
        which levels, findings and hosts, and which destinations are fuller each day.
    type: list
    elements: str
    default: []
    vars:
      - name: ephemeral_ports_earlier
    env:
      - name: EPHEMERAL_PORTS_EARLIER
requirements:
  - C(netops.ephemeral_ports.fleet_report) in C(callbacks_enabled), for playbooks other than those of this collection
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - plugin: netops.ephemeral_ports.describe
    plugin_type: filter
"""

EXAMPLES = r"""
# ansible.cfg, for your own playbooks
#
# [defaults]
# callbacks_enabled = netops.ephemeral_ports.fleet_report
#
# [callback_fleet_report]
# directory = ~/reports/ports

# The playbooks of the collection need nothing but the directory:
#
# ansible-playbook netops.ephemeral_ports.diagnose -i inventory -e ephemeral_ports_report=~/reports/ports

# One report over those of slices, compared with earlier ones:
#
# ansible-playbook netops.ephemeral_ports.report -i inventory -e ephemeral_ports_report=~/reports/today \
#   -e '{"ephemeral_ports_merge": ["slices/*"], "ephemeral_ports_earlier": ["~/reports/2026-*"]}'
"""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants as C  # noqa: N812 - its usual name
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version
from ansible.template import Templar

from ..plugin_utils import _gateway, _preload
from ..plugin_utils._model import Gateway, Meta, Report
from ..plugin_utils._report.collect import Fleet, is_ours
from ..plugin_utils._report.days import compare
from ..plugin_utils._report.earlier import find
from ..plugin_utils._report.files import write_report
from ..plugin_utils._report.group import make_report
from ..plugin_utils._report.merge import Merging
from ..plugin_utils._report.terminal import BAD, GOOD, NORMAL, POOR, summary_lines
from ..plugin_utils._say import is_for_people
from ..plugin_utils._task_result import reason_alone, reason_given
from ..plugin_utils._version import ROOT as COLLECTION
from ..plugin_utils._version import collection_version

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

VARIABLE = "ephemeral_ports_report"
LISTS = ("ephemeral_ports_merge", "ephemeral_ports_earlier")
TITLE = "EPHEMERAL PORTS"
# Results stay until the end: the search for cycles need not go through those of thousands of hosts time and again.
_FREEZE_EVERY = 1000
COLOURS = {NORMAL: None, GOOD: C.COLOR_OK, POOR: C.COLOR_WARN, BAD: C.COLOR_ERROR}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "netops.ephemeral_ports.fleet_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - they are ansible-core's
        super().__init__(*args, **options)
        self._fleet = Fleet()
        self._started = _now()
        self._playbooks: list[str] = []
        self._directory: object = None
        self._merge: list[Path] = []
        self._earlier: list[Path] = []
        self._play: Play | None = None
        self._lost: dict[str, Any] = {}
        self._heard = 0
        self._for_people = is_for_people(C.DEFAULT_STDOUT_CALLBACK)
        _preload.load()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        self._playbooks.append(_playbook_name(Path(playbook._file_name)))

    def v2_playbook_on_play_start(self, play: Play) -> None:
        self._fleet.on_play()
        self._play = play
        self._directory = self._find_directory(play) or self._directory
        _preload.freeze()

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - part of the call
        self._fleet.on_task(*_action_and_role(task))
        _preload.load_for(task.action)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._on_result(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._on_result(result)  # curl_stress tells how the load went even when it was asked to fail
        if not ignore_errors:
            self._on_failure(result, unreachable=False)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._on_failure(result, unreachable=True)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        self._fleet.finish(stats.failures)
        with _without_search_for_cycles():
            self._report()

    def _report(self) -> None:
        if self._fleet.has_gateways():
            for name in self._fleet.lost():
                self._fleet.hosts[name].gateway = self._gateway_of(name)
        merging = Merging()
        for path in self._merge:
            merging.take(path)
        merging.take_run(self._fleet.hosts.values(), _now())
        if not merging.hosts and not merging.files:
            return
        if len(merging.hosts) == 1 and not self._directory:
            return
        report = make_report(merging.hosts, self._meta())
        if self._merge:
            report["merged"] = merging.told(self._expected())
        if self._earlier:
            report["days"] = compare(report["hosts"], self._earlier)
        self._print_summary(report)
        if self._directory:
            self._write(report, self._directory)

    def _print_summary(self, report: Report) -> None:
        if self._for_people:
            self._display.banner(TITLE)
        else:
            self._print(TITLE)
        for line in summary_lines(report, self._display.columns):
            self._print(line.text, COLOURS[line.tone])

    def _print(self, text: str, colour: str | None = None) -> None:
        self._display.display(text, color=colour, stderr=not self._for_people)

    def _find_directory(self, play: Play) -> object:
        """As ansible-core does it for itself from 2.21 on: documented variables are values of options."""
        manager = play.get_variable_manager()
        variables = manager.get_vars(play=play) if manager else {}
        templar = Templar(loader=play.get_loader(), variables=variables)
        named = [name for name in (VARIABLE, *LISTS) if variables.get(name)]
        self.set_options(var_options={name: templar.template(variables[name]) for name in named})
        self._merge, self._earlier = (find(self.get_option(name) or []) for name in ("merge", "earlier"))
        return self.get_option("directory")

    def _expected(self) -> list[str]:
        """Hosts of the inventory, of which each should be in one of the merged reports."""
        manager = self._play.get_variable_manager() if self._play else None
        groups = manager.get_vars(play=self._play).get("groups", {}) if manager else {}
        return [name for name in groups.get("all", []) if name not in ("localhost", "127.0.0.1")]

    def _gateway_of(self, name: str) -> Gateway | None:
        """Of a host that did not get so far as to be observed: it is missing in the sum of its gateway."""
        play = self._play
        manager = play.get_variable_manager() if play else None
        if not play or not manager or name not in self._lost:
            return None
        variables = manager.get_vars(play=play, host=self._lost[name])
        try:
            templar = Templar(loader=play.get_loader(), variables=variables)
            return _gateway.read_gateway(templar.template(variables.get(_gateway.VARIABLE)), name)
        except (AnsibleError, ValueError):  # as its own error says, or would
            return None

    def _on_result(self, result: CallbackTaskResult) -> None:
        host, task = _parts(result)
        check = task.check_mode if isinstance(task.check_mode, bool) else bool(context.CLIARGS.get("check"))
        self._fleet.on_result(host.get_name(), task.action, _unchecked(result), check)
        self._heard += 1
        if self._heard % _FREEZE_EVERY == 0:
            _preload.freeze()

    def _on_failure(self, result: CallbackTaskResult, unreachable: bool) -> None:
        host, task = _parts(result)
        self._fleet.on_task(*_action_and_role(task))
        address = host.get_vars().get("ansible_host")
        aliases = [address] if isinstance(address, str) else []
        reason = reason_given(_values(result))
        if is_ours(*_action_and_role(task)):
            reason = reason_alone(reason)
        self._fleet.on_failure(host.get_name(), aliases, reason, unreachable)
        self._lost[host.get_name()] = host

    def _meta(self) -> Meta:
        return {
            "collection": collection_version(),
            "ansible_core": ansible_version,
            "python": ".".join(map(str, sys.version_info[:3])),
            "playbooks": self._playbooks,
            "started": self._started,
            "ended": _now(),
            "check_mode": bool(context.CLIARGS.get("check")),
        }

    def _write(self, report: Report, directory: object) -> None:
        path = Path(str(directory))
        try:
            path = path.expanduser()
            written = write_report(report, path)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no such home
            why = str(getattr(error, "strerror", None) or error).rstrip(".")
            self._display.warning(f"The report could not be written to {path}: {why}.")
            return
        self._print("")
        self._print(f"Report: {written[0]}, {', '.join(file.name for file in written[1:])}")


@contextmanager
def _without_search_for_cycles() -> Iterator[None]:
    """The report has none, and among a million objects that stay, each search takes a second."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parts(result: CallbackTaskResult) -> tuple[Any, Any]:
    """Host and task of a result; ansible-core 2.19 gave them names without the underscore."""
    if hasattr(result, "task"):
        return result.host, result.task
    return result._host, result._task


def _values(result: CallbackTaskResult) -> Mapping[str, Any]:
    """In plain types; ansible-core makes them so for each callback, value by value."""
    values: Mapping[str, Any] = result.result if hasattr(result, "task") else result._result
    return values


def _unchecked(result: CallbackTaskResult) -> Mapping[str, Any]:
    """As the worker sent them, where they will be checked value by value anyway."""
    values: Mapping[str, Any] | None = getattr(result, "_return_data", None)
    return _values(result) if values is None else values


def _action_and_role(task: Task) -> tuple[str, str]:
    role = getattr(task, "_role", None)
    return task.action, role.get_name() if role else ""


def _playbook_name(path: Path) -> str:
    if path.resolve().parent == COLLECTION / "playbooks":
        return f"netops.ephemeral_ports.{path.stem}"
    return path.name


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the decision and the report cost the controller, for fleets that are varied from results of real runs.

The report is made by the callback plugin itself, from the events that ansible-core would send it.

    python tests/benchmark/fleet_simulation.py [--hosts N ...] [--seed N]

Each size runs in a process of its own, so that its peak of memory is its own. Making the results is not counted. Prints
a table in Markdown, and ends with 1 where a target of the project is missed. Needs ansible-core and what it brings.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIZES = (100, 1000, 10_000, 50_000)
STEPS = ("decide", "hear", "make_report", "summary_lines", "write_json", "write_csv", "write_html", "end", "read")
TITLES = {
    "decide": "decision (`remediation_plan`), s",
    "hear": "report: taking results in, s",
    "make_report": "report: grouping, s",
    "summary_lines": "report: summary, s",
    "write_json": "`report.json`, s",
    "write_csv": "`report.csv`, s",
    "write_html": "`report.html`, s",
    "whole": "decision and report in all, s",
    "ratio": "the same, in times that Python's `json` takes to read the results",
    "held": "memory held for the report, MiB",
    "peak": "peak of the process, MiB",
    "json_size": "`report.json`, MB",
    "csv_size": "`report.csv`, MB",
    "html_size": "`report.html`, MB",
}
# By hosts: seconds of decision and report, and MiB of the process.
TARGETS = {10_000: (5.0, 300.0), 50_000: (30.0, 1024.0)}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one, options.seed)))
        return 0
    columns = []
    for number in options.hosts:
        command = [sys.executable, __file__, "--one", str(number), "--seed", str(options.seed)]
        columns.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    print(f"{platform.system()} {platform.release()}, Python {platform.python_version()}, seed {options.seed}\n")
    print("\n".join(table(options.hosts, columns)))
    missed = [number for number, column in zip(options.hosts, columns, strict=True) if not is_met(number, column)]
    for number in missed:
        seconds, mebibytes = TARGETS[number]
        print(f"\n{number:,} hosts miss the target of {seconds:g} s and {mebibytes:g} MiB.")
    return 1 if missed else 0


def is_met(number: int, column: dict[str, float]) -> bool:
    seconds, mebibytes = TARGETS.get(number, (float("inf"), float("inf")))
    return column["whole"] <= seconds and column["peak"] <= mebibytes


def table(sizes: Sequence[int], columns: Sequence[dict[str, float]]) -> list[str]:
    rows = [["hosts", *(f"{size:,}" for size in sizes)], ["---", *("---:" for _size in sizes)]]
    rows += [[title, *(figure(column[name]) for column in columns)] for name, title in TITLES.items()]
    return [f"| {' | '.join(row)} |" for row in rows]


def figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def measure(number: int, seed: int) -> dict[str, float]:
    """Seconds of processor time of each step, MiB, and MB of the files."""
    load_collections()
    import simulated_fleet as simulated

    from ansible_collections.netops.ephemeral_ports.plugins.callback import fleet_report
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import files

    spent = dict.fromkeys(STEPS, 0.0)

    def timed(step: str, work: Callable[..., Any], *given: object) -> Any:
        start = time.process_time()
        result = work(*given)
        spent[step] += time.process_time() - start
        return result

    for module, step in (
        *((fleet_report, name) for name in ("make_report", "summary_lines")),
        *((files, name) for name in ("write_json", "write_csv", "write_html")),
    ):
        work = getattr(module, step)
        setattr(module, step, lambda *given, step=step, work=work: timed(step, work, *given))
    callback = fleet_report.CallbackModule(display=quiet_display())
    fleet_report._preload.freeze()  # as at the start of each play
    callback.v2_playbook_on_task_start(_task(simulated.REMEDIATION), False)
    before = resident()
    for name, kind, chance in simulated.hosts(number, seed):
        if kind == "unreachable":
            message = simulated.UNREACHABLE.format(name=name, why="Connection timed out")
            event = _event(name, simulated.REMEDIATION, {"unreachable": True, "msg": message})
            timed("hear", callback.v2_runner_on_unreachable, event)
            continue
        usage = simulated.vary("busy" if kind == "idle" else kind, chance)  # a host in full detail costs the most
        plan = timed("decide", make_plan, usage, {})
        for action, result in (
            (simulated.REMEDIATION, simulated.remediation(usage, plan, simulated.applied(plan))),
            ("netops.ephemeral_ports.port_usage_info", simulated.afterwards(usage, plan)),
        ):
            received = timed("read", json.loads, json.dumps(result))
            timed("hear", callback.v2_runner_on_ok, _event(name, action, received))
    held = resident() - before
    with tempfile.TemporaryDirectory() as directory:
        callback._directory = directory
        timed("end", callback.v2_playbook_on_stats, SimpleNamespace(failures={}))
        kinds = ("json", "csv", "html")
        sizes = {f"{kind}_size": Path(directory, f"report.{kind}").stat().st_size / 1e6 for kind in kinds}
    whole = spent["decide"] + spent["hear"] + spent["end"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**spent, "whole": whole, "ratio": whole / spent["read"], "held": held, "peak": peak, **sizes}


def load_collections() -> None:
    """As ansible-core does it; its own plugins are those of a collection, too."""
    from ansible.plugins.loader import init_plugin_loader

    sys.path.insert(0, str(ROOT / "tests" / "simulation"))
    init_plugin_loader([str(ROOT / "build")])


def quiet_display() -> SimpleNamespace:
    """What a callback has of ansible-core's terminal."""

    def ignore(*_given: object, **_named: object) -> None:
        pass

    return SimpleNamespace(verbosity=0, columns=100, banner=ignore, display=ignore, warning=sys.exit)


def _task(action: str) -> SimpleNamespace:
    return SimpleNamespace(action=action, check_mode=False)


def _event(name: str, action: str, result: dict[str, Any]) -> SimpleNamespace:
    """As ansible-core 2.19 passes the result of a task to a callback."""
    host = SimpleNamespace(get_name=lambda: name, get_vars=dict)
    return SimpleNamespace(host=host, task=_task(action), result=result)


def resident() -> float:
    """MiB of memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

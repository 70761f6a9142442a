# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the decision and the report cost the controller, for fleets that are varied from results of real runs.

The report is made by the callback plugin itself, from the events that ansible-core would send it.

    python tests/benchmark/fleet_simulation.py [--hosts N ...] [--seed N]

Each size runs in a process of its own, so that its peak of memory is its own. Making the results is not counted. Prints
a table in Markdown. Needs ansible-core and what it brings.
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
STEPS = ("decide", "hear", "gather", "summary", "json", "csv", "html")
TITLES = {
    "decide": "decision (`remediation_plan`), s",
    "hear": "report: taking results in, s",
    "gather": "report: grouping, s",
    "summary": "report: summary, s",
    "json": "`report.json`, s",
    "csv": "`report.csv`, s",
    "html": "`report.html`, s",
    "whole": "report in all, s",
    "held": "memory held for the report, MiB",
    "peak": "peak of the process, MiB",
    "json_size": "`report.json`, MB",
    "csv_size": "`report.csv`, MB",
    "html_size": "`report.html`, MB",
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one, options.seed)))
        return
    columns = []
    for number in options.hosts:
        command = [sys.executable, __file__, "--one", str(number), "--seed", str(options.seed)]
        columns.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{platform.system()} {platform.release()}, Python {platform.python_version()}, seed {options.seed}\n")
    print("\n".join(table(options.hosts, columns)))


def table(sizes: Sequence[int], columns: Sequence[dict[str, float]]) -> list[str]:
    rows = [["hosts", *(f"{size:,}" for size in sizes)], ["---", *("---:" for _size in sizes)]]
    rows += [[title, *(figure(column[name]) for column in columns)] for name, title in TITLES.items()]
    return [f"| {' | '.join(row)} |" for row in rows]


def figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def measure(number: int, seed: int) -> dict[str, float]:
    """Seconds of processor time of each step, MiB, and MB of the files."""
    sys.path[:0] = [str(ROOT / "build"), str(ROOT / "tests" / "simulation")]
    import simulated_fleet as simulated

    from ansible_collections.netops.ephemeral_ports.plugins.callback.fleet_report import CallbackModule
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import (
        write_csv,
        write_html,
        write_json,
    )
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines

    spent = dict.fromkeys(STEPS, 0.0)

    def timed(step: str, work: Callable[..., Any], *given: object) -> Any:
        start = time.process_time()
        result = work(*given)
        spent[step] += time.process_time() - start
        return result

    callback = CallbackModule(display=SimpleNamespace(verbosity=0))
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
            timed("hear", callback.v2_runner_on_ok, _event(name, action, result))
    report = timed("gather", make_report, callback._fleet.hosts, callback._meta())
    held = resident() - before
    timed("summary", summary_lines, report)
    sizes = {}
    with tempfile.TemporaryDirectory() as directory:
        for step, write in (("json", write_json), ("csv", write_csv), ("html", write_html)):
            path = Path(directory, step)
            with path.open("w", encoding="utf-8", newline="") as file:
                timed(step, write, report, file)
            sizes[f"{step}_size"] = path.stat().st_size / 1e6
    whole = sum(spent.values()) - spent["decide"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**spent, "whole": whole, "held": held, "peak": peak, **sizes}


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
    main(sys.argv[1:])

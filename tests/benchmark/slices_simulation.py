# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to merge the reports of slices into one, as the playbook `report` does it.

    python tests/benchmark/slices_simulation.py [--slices N] [--hosts N]

Writes a report for each slice, of simulated hosts of which most are well; that is not counted. Then the callback plugin
itself reads and merges them, and writes one report. Prints what that took, and ends with 1 beyond two minutes. Needs
ansible-core and what it brings.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from fleet_simulation import load_collections, quiet_display

TARGET = 120.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--hosts", type=int, default=10_000, help="of each slice")
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    load_collections()
    if options.write is not None:
        write_slice(options.directory, options.write, options.hosts)
        return 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.slices):
            # In a process of its own: the memory of this one is that of the merge.
            told = ["--write", str(number), "--directory", name, "--hosts", str(options.hosts)]
            subprocess.run([sys.executable, __file__, *told], check=True)
        return merge(Path(name), options.slices * options.hosts)


def write_slice(directory: Path, number: int, size: int) -> None:
    """Hosts of each slice have names of their own."""
    import simulated_fleet as simulated

    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report

    fleet = simulated.make_fleet(size, seed=number)
    for host in fleet.hosts.values():
        host.name = f"s{number}-{host.name}"
    write_report(make_report(fleet.hosts, simulated.META), directory / f"slice{number}")  # type: ignore[arg-type]


def merge(directory: Path, hosts: int) -> int:
    from ansible_collections.netops.ephemeral_ports.plugins.callback.fleet_report import CallbackModule

    callback = CallbackModule(display=quiet_display())
    callback._merge = sorted(directory.glob("slice*/report.json"))
    callback._directory = str(directory / "merged")
    size = sum(path.stat().st_size for path in callback._merge)
    clock, begin = time.monotonic(), time.process_time()
    callback.v2_playbook_on_stats(SimpleNamespace(failures={}))
    seconds, cpu = time.monotonic() - clock, time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{hosts:,} hosts, {len(callback._merge)} reports of {size / 1e6:.0f} MB in all, merged and written:")
    print(f"{seconds:.0f} s, {cpu:.0f} s of processor time, {peak:.0f} MiB at most")
    return 0 if seconds < TARGET else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

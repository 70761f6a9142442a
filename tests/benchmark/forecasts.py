# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good forecasts are: known loads, simulated, and what was forecast with and without a trend.

    python tests/benchmark/forecasts.py [--seeds N]

Prints the tables of docs/benchmarks.md; the loads are in tests/simulation/loads.py. What the same loads do on the
real kernel is printed by pytest -s tests/integration/test_forecast.py.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "build"), str(ROOT / "tests" / "simulation")]

import loads  # noqa: E402 - from the directories above
from loads import CRITICAL, LOADS, PARTS, USABLE  # noqa: E402 - likewise

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.forecast import forecast  # noqa: E402 - too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="random loads of each kind")
    seeds = parser.parse_args().seeds
    print(loads.HEAD)
    for name, load in LOADS.items():
        past = loads.simulate(load)
        for part in PARTS:
            at, left = loads.on_the_way(load, past, part)
            waiting = past.waiting(at)
            former = loads.former_forecast(waiting, USABLE, CRITICAL)
            seen = forecast(waiting, 0, USABLE, CRITICAL).seconds_to_critical
            print(loads.row(f"{name}: {load.words}" if part == PARTS[0] else "", at, left, former, seen))
    print()
    print(f"| {seeds} random loads of each kind | on the way | former, good | good | good, or within the interval |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in LOADS:
        for part in PARTS:
            print(f"| {name if part == PARTS[0] else ''} | {part:.0%} | {' | '.join(_at_random(name, part, seeds))} |")


def _at_random(name: str, part: float, seeds: int) -> list[str]:
    """The share of forecasts that were good: former ones, ours, and ours with their interval."""
    former = good = told = 0
    for seed in range(seeds):
        load = LOADS[name]
        past = loads.simulate(load, random.Random(seed))
        at, left = loads.on_the_way(load, past, part)
        waiting = past.waiting(at)
        seen = forecast(waiting, 0, USABLE, CRITICAL)
        former += loads.is_good(loads.former_forecast(waiting, USABLE, CRITICAL), left)
        exact = loads.is_good(seen.seconds_to_critical, left)
        good += exact
        told += exact or loads.is_within(seen.critical_between, left)
    return [f"{number / seeds:.0%}" for number in (former, good, told)]


if __name__ == "__main__":
    main()

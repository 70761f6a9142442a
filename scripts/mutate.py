# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show that the Molecule scenarios notice when the fix is missing.

Runs each scenario that has tests/after with a copy of the collection in which the role's apply step only pretends, and
demands that these tests, and none before them, fail.

usage: python scripts/mutate.py [SCENARIO...]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parent.parent
MUTANT = CHECKOUT / "build/mutant"
APPLY = "netops.ephemeral_ports.remediation"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FAILED_TEST = re.compile(r"^\W*FAILED (\S+)::(\w+)", re.MULTILINE)


def main(names: list[str]) -> int:
    settings = sorted(CHECKOUT.glob("molecule/*/molecule.yml"))
    scenarios = names or [path.parent.name for path in settings if "tests/after" in path.read_text()]
    breed()
    rows = [examine(scenario) for scenario in scenarios]
    print(f"\n{'scenario':<16}{'seconds':>8}  without the apply step")
    for scenario, seconds, _noticed, what in rows:
        print(f"{scenario:<16}{seconds:>8.0f}  {what}")
    return 0 if all(noticed for _scenario, _seconds, noticed, _what in rows) else 1


def breed() -> None:
    """Copy the collection, and let the apply step predict instead of act, without saying that it changed anything."""
    shutil.rmtree(MUTANT, ignore_errors=True)
    collection = MUTANT / "ansible_collections/netops/ephemeral_ports"
    for part in ("galaxy.yml", "meta", "playbooks", "plugins", "roles"):
        copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
        collection.mkdir(parents=True, exist_ok=True)
        copy(CHECKOUT / part, collection / part)
    path = collection / "roles/timewait_remediate/tasks/main.yml"
    tasks = yaml.safe_load(path.read_text())
    (apply,) = (task for task in tasks if APPLY in task)
    apply |= {"check_mode": True, "changed_when": "ansible_check_mode"}
    path.write_text(yaml.safe_dump(tasks, sort_keys=False))


def examine(scenario: str) -> tuple[str, float, bool, str]:
    """Name, seconds, whether a test noticed, and what happened in words."""
    start = time.monotonic()
    run = subprocess.run(
        [CHECKOUT / "scripts/molecule", scenario],
        env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(MUTANT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = CHECKOUT / f"build/logs/mutant-{scenario}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(run.stdout)
    failed = set(FAILED_TEST.findall(COLOUR.sub("", run.stdout)))
    noticed = run.returncode != 0 and bool(failed) and all("tests/after/" in path for path, _test in failed)
    what = f"verify is red: {', '.join(sorted(test for _path, test in failed))}"
    if not noticed:
        what = f"NOT NOTICED by tests/after, see {log.relative_to(CHECKOUT)}"
    return scenario, time.monotonic() - start, noticed, what


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

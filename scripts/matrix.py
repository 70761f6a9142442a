# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run with several ansible-cores what may depend on it, and say in a table what ran, and what did not and why.

Each ansible-core has an environment in build/matrix, which is kept until its requirements change. An interpreter that
this machine does not have makes no failure, but a line that says NOT RUN: that line is why this is not nox.

usage: python scripts/matrix.py [--stage STAGE]... [CORE]...    for example: --stage units --stage sanity 2.16
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from environments import ROOT, EnvironmentFailedError, find_python, make_environment

BUILD = ROOT / "build" / "matrix"
MANAGED = "tests/integration/test_managed_pythons.py"
# These go through the ansible-cores by themselves.
ALL_CORES = ("tests/integration/hostile", "tests/integration/crashes")
SCENARIO, SUITE = "two_hosts", "bookworm"

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "NOT RUN"


# What goes through an ansible-core between those that go through everything. The rest only where it is asked for.
BETWEEN = ("units", "sanity", "targets")


class Core(NamedTuple):
    """An ansible-core: the Pythons to run it with, the first that is there; what is installed for it; its stages."""

    pythons: tuple[str, ...]
    requirements: str
    stages: tuple[str, ...] = ()  # all


CORES = {
    "2.16": Core(("3.11",), "matrix-2.16.txt"),
    "2.17": Core(("3.10",), "test.txt", BETWEEN),
    "2.18": Core(("3.11",), "matrix-2.18.txt", BETWEEN),
    "2.19": Core(("3.11",), "test.txt"),
    "2.20": Core(("3.12",), "matrix-2.20.txt", BETWEEN),
    "2.21": Core(("3.13", "3.12"), "test.txt"),
}


class Row(NamedTuple):
    """One line of the table. `what` says what ran, or why it did not."""

    stage: str
    outcome: str
    what: str
    seconds: float = 0.0


class Environment(NamedTuple):
    """Where one ansible-core is installed: its logs, and the variables that make it the one that is used."""

    logs: Path
    variables: Mapping[str, str]

    def run(self, log: str, *command: str, **variables: str) -> tuple[int, str]:
        """Exit code and output of a command; the output goes to a log."""
        path = self.logs / f"{log}.log"
        with path.open("w") as output:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**self.variables, **variables},
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return done.returncode, path.read_text()


Stage = Callable[[Environment], list[Row]]
Case = ElementTree.Element


# Stages


def units(environment: Environment) -> list[Row]:
    return [tests(environment, "units", "tests/unit")]


def integration(environment: Environment) -> list[Row]:
    left_out = (f"--ignore={MANAGED}", *(f"--ignore={place}" for place in ALL_CORES))
    return [tests(environment, "integration", "--numprocesses=auto", "tests/integration", *left_out)]


def tests(environment: Environment, name: str, *arguments: str) -> Row:
    code, cases, _properties = run_pytest(environment, name, *arguments)
    return summarise(name, cases, code)


def managed(environment: Environment) -> list[Row]:
    """A line for each Python that a managed host may have."""
    code, cases, versions = run_pytest(environment, "managed", MANAGED)
    rows = []
    for wanted, group in groupby(sorted(cases, key=parameter), key=parameter):
        row = summarise(f"managed host, Python {versions.get(wanted, wanted)}", [*group], 0)
        rows.append(row)
    if code and not any(row.outcome == FAILED for row in rows):
        rows.append(Row("managed host", FAILED, f"pytest ended with exit code {code}"))
    return rows


def run_pytest(environment: Environment, name: str, *arguments: str) -> tuple[int, list[Case], dict[str, str]]:
    """Exit code, test cases, and the properties that tests have recorded."""
    report = environment.logs / f"{name}.xml"
    report.unlink(missing_ok=True)
    code, _output = environment.run(name, "pytest", "--quiet", f"--junit-xml={report}", *arguments)
    if not report.exists():
        return code or 1, [], {}
    suite = ElementTree.parse(report).getroot()
    properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    return code, [*suite.iter("testcase")], properties


def parameter(case: Case) -> str:
    return str(case.get("name")).partition("[")[2].rstrip("]")


def summarise(stage: str, cases: Sequence[Case], code: int) -> Row:
    """Count test cases; when all were skipped, the stage was not run, and the first reason says why."""
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    reasons = [skipped.attrib["message"] for case in cases for skipped in case.iter("skipped")]
    seconds = sum(float(case.get("time", 0)) for case in cases)
    if cases and len(reasons) == len(cases):
        return Row(stage, NOT_RUN, reasons[0], seconds)
    counts = {"failed": len(failed), "passed": len(cases) - len(failed) - len(reasons), "skipped": len(reasons)}
    what = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    what += "".join(f"; skipped: {reason}" for reason in sorted(set(reasons)))
    return Row(stage, FAILED if failed or code or not cases else PASSED, what or f"exit code {code}", seconds)


def sanity(environment: Environment) -> list[Row]:
    """Counts the tests, and the Pythons with which those that take several were run."""
    code, output = environment.run("sanity", "scripts/ansible_test", "sanity")
    names = set(re.findall(r'^Running sanity test "([^"]+)"', output, re.MULTILINE))
    pythons = dict.fromkeys(re.findall(r'^Running sanity test "import" on Python ([\d.]+)', output, re.MULTILINE))
    missing = dict.fromkeys(re.findall(r"Skipping .* on Python ([\d.]+)", output))
    what = f"{len(names)} tests; imports on Python {', '.join(pythons)}"
    what += f"; not on {', '.join(missing)}, which this machine lacks" if missing else ""
    return [Row("sanity", FAILED if code or not names else PASSED, what)]


def targets(environment: Environment) -> list[Row]:
    """What `ansible-test integration` finds: small plays in private namespaces."""
    code, output = environment.run("targets", "scripts/ansible_test", "integration")
    names = re.findall(r"^Running (\S+) integration test", output, re.MULTILINE)
    return [Row("targets", FAILED if code or not names else PASSED, ", ".join(names) or f"exit code {code}")]


def molecule(environment: Environment) -> list[Row]:
    """One scenario, with Ansible's deprecation warnings as failures."""
    name = f"molecule {SCENARIO}, {SUITE}"
    if not shutil.which("podman"):
        return [Row(name, NOT_RUN, "podman is not installed")]
    code, output = environment.run("molecule", "scripts/molecule", SCENARIO, SUITES=SUITE)
    passed = sum(map(int, re.findall(r"(\d+) passed", output)))
    deprecated = output.count("[DEPRECATION WARNING]")
    what = f"{passed} tests passed" + (f", {deprecated} deprecation warnings" if deprecated else "")
    return [Row(name, FAILED if code or deprecated or not passed else PASSED, what)]


STAGES: dict[str, Stage] = {
    "units": units,
    "integration": integration,
    "sanity": sanity,
    "targets": targets,
    "molecule": molecule,
    "managed": managed,
}


# The whole


def examine(version: str, stages: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The lines for one ansible-core, each with what was really used. Without stages: its own."""
    core = CORES[version]
    python = find_python(core.pythons)
    if python is None:
        lacks = f"needs Python {' or '.join(core.pythons)}, which is neither on PATH nor in pyenv"
        yield f"ansible-core {version}", Row("all stages", NOT_RUN, lacks)
        return
    say(f"ansible-core {version}: environment")
    try:
        own = make_environment(BUILD / version, python, ROOT / "requirements" / core.requirements)
    except EnvironmentFailedError as error:
        yield f"ansible-core {version}", Row("environment", FAILED, str(error))
        return
    used = describe(own)
    environment = enter(version, own)
    for name in stages or core.stages or STAGES:
        say(f"{used}: {name}")
        start = time.monotonic()
        for row in STAGES[name](environment):
            say(f"{row.outcome}: {row.what}")  # what is broken off has not run for nothing
            yield used, row if row.seconds else row._replace(seconds=time.monotonic() - start)


def describe(python: Path) -> str:
    """What is really in an environment."""
    source = """
from importlib.metadata import version
from platform import python_version
names = ("ansible-core", "ansible", "molecule")
print(", ".join([f"{name} {version(name)}" for name in names] + [f"Python {python_version()}"]))
"""
    return subprocess.check_output([python, "-c", source], text=True).strip()


def enter(version: str, python: Path) -> Environment:
    """The environment of an ansible-core; nothing of the caller's Ansible configuration plays a part."""
    logs = ROOT / "build" / "logs" / f"matrix-{version}"
    logs.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    ours = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(python.parents[1] / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
    }
    return Environment(logs, {**inherited, **ours})


def say(text: str) -> None:
    print(f"=== {text}", file=sys.stderr, flush=True)


def table(lines: Sequence[tuple[str, Row]]) -> Iterator[str]:
    for used, group in groupby(lines, key=lambda line: line[0]):
        yield f"\n{used}"
        for _used, row in group:
            seconds = f"{row.seconds:.0f} s"
            yield f"  {row.stage:<30} {seconds:>6}  {row.outcome + ':':<8} {row.what}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the version matrix.")
    parser.add_argument("--stage", action="append", choices=STAGES, help="only this one; may be repeated")
    parser.add_argument("core", nargs="*", help=f"only these: {', '.join(CORES)}")
    options = parser.parse_args(arguments)
    if unknown := [core for core in options.core if core not in CORES]:
        parser.error(f"unknown: {', '.join(unknown)}")
    start = time.monotonic()
    lines = [line for core in options.core or CORES for line in examine(core, options.stage or [])]
    print("\n".join(table(lines)))
    outcomes = [row.outcome for _used, row in lines]
    counts = ", ".join(f"{outcomes.count(one)} {one}" for one in (PASSED, FAILED, NOT_RUN) if one in outcomes)
    print(f"\n{counts} in {time.monotonic() - start:.0f} s; logs in build/logs/matrix-*")
    return 1 if FAILED in outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/platforms.md claims what the matrix, the workflows and the scenarios run, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from matrix import CORES

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/platforms.md").read_text()
WORKFLOW = (ROOT / ".github/workflows/test.yml").read_text()
ROWS = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| .*", PAGE, re.MULTILINE)]
HOSTS = "Python of managed hosts"
HERE, CI, RECORDED, EXPECTED = {}, {}, {}, {}
for row in ROWS:
    if len(row) == 5 and row[0] != "what":
        HERE[row[0]], CI[row[0]], RECORDED[row[0]], EXPECTED[row[0]] = row[1:]


def versions(text: str) -> set[str]:
    return set(re.findall(r"\b\d+\.\d+\b", text))


def test_the_cores_here_are_those_of_the_matrix() -> None:
    assert versions(HERE["ansible-core"]) == set(CORES)


def test_ci_has_every_core_that_is_promised() -> None:
    claimed = versions(CI["ansible-core"])
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    assert claimed == {one["core"] for one in jobs["ansible-test"]["strategy"]["matrix"]["include"]} - {"devel"}
    assert claimed >= {one["core"] for one in jobs["docker"]["strategy"]["matrix"]["include"]}
    promised = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    oldest, newest = (sorted(claimed, key=lambda one: int(one[2:]))[end] for end in (0, -1))
    assert promised == f">={oldest}.0"
    assert len(claimed) == int(newest[2:]) - int(oldest[2:]) + 1
    table = [row[0] for row in ROWS if len(row) == 4 and row[0].startswith("2.")]
    assert set(table) == claimed
    assert f"ansible-core {oldest} to {newest}" in (ROOT / "README.md").read_text()


def test_pythons_of_the_controller_are_those_that_run() -> None:
    row = "Python of the controller"
    assert versions(HERE[row]) == {python for core in CORES.values() for python in core.pythons}
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    matrices = [jobs[name]["strategy"]["matrix"]["include"] for name in ("suite", "ansible-test", "docker")]
    assert versions(CI[row]) == {one["python"] for matrix in matrices for one in matrix}


def test_pythons_of_hosts_are_those_that_run() -> None:
    run = versions((ROOT / "tests/integration/test_managed_pythons.py").read_text().partition("VERSIONS = ")[2][:30])
    assert run == {"3.6", "3.9"}  # and the newest of each ansible-core
    for where in (HERE, CI):
        assert run <= versions(where[HOSTS]) <= run | versions(where["Python of the controller"])


def test_pythons_of_hosts_are_those_that_some_core_takes() -> None:
    ranges = [re.findall(r"3\.(\d+)", row[2]) for row in ROWS if len(row) == 4 and row[0].startswith("2.")]
    taken = {f"3.{minor}" for oldest, newest in ranges for minor in range(int(oldest), int(newest) + 1)}
    run, expected = versions(HERE[HOSTS]) | versions(CI[HOSTS]), versions(EXPECTED[HOSTS])
    assert run | expected == taken
    assert not run & expected


def test_the_kernels_are_those_of_the_recordings() -> None:
    recorded = {path.name for path in (ROOT / "tests/unit/recordings").iterdir() if path.is_dir()}
    assert versions(RECORDED["kernel"]) == {".".join(re.findall(r"\d+", name)[:2]) for name in recorded}


@pytest.mark.parametrize("image", re.findall(r"docker\.io/library/(ubuntu:[\d.]+)|(rocky)linux:(\d+)", WORKFLOW))
def test_the_distributions_are_those_of_the_workflow(image: tuple[str, ...]) -> None:
    name, version = re.fullmatch(r"(\w+?)(?:linux)?:?([\d.]+)", "".join(image)).groups()  # type: ignore[union-attr]
    line = next(part for part in CI["distribution of managed hosts"].split(";") if name in part.lower())
    assert version in line


def test_debian_is_that_of_the_scenarios() -> None:
    releases = {"bullseye": "11", "bookworm": "12", "trixie": "13"}
    suites = re.findall(r"SUITES:-([a-z ]+)\}", (ROOT / "scripts/molecule").read_text())[0].split()
    for where in (HERE, CI):
        debian = re.search(r"Debian ([\d, ]+)", where["distribution of managed hosts"])
        assert debian
        assert re.findall(r"\d+", debian[1]) == [releases[suite] for suite in suites]


def test_engines_are_those_that_run() -> None:
    assert HERE["container engine of the scenarios"] == "Podman"
    assert ("Docker" in CI["container engine of the scenarios"]) == ("engine: docker" in WORKFLOW)


def test_versions_of_the_kernel_are_those_of_the_code() -> None:
    since = {row[0]: row[1] for row in ROWS if len(row) == 2}
    for version in (features._TWO_PASS_SEARCH, features._REUSE_LOOPBACK_MODE, features._SHOWS_BOUND):
        assert f"{version[0]}.{version[1]}" in since

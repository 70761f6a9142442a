# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball holds what users need, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In the container of `ansible-test units` ansible-galaxy builds nothing; build/ is made by make.
pytestmark = pytest.mark.skipif(not (ROOT / "build").exists(), reason="ansible-galaxy does not build here")

# What the tarball may hold, by the first part of the path. The collection works with PARTS alone.
PARTS = {"extensions", "meta", "playbooks", "plugins", "roles"}
USED = PARTS | {"CHANGELOG.md", "COPYING", "LICENSES", "README.md", "SECURITY.md", "changelogs", "docs", "monitoring"}
MADE = {"FILES.json", "MANIFEST.json"}


def tracked() -> list[str]:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    names = subprocess.check_output(listing, cwd=ROOT, text=True).split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tarball")
    build = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", f"--output-path={place}", str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (tarball,) = place.glob("netops-ephemeral_ports-*.tar.gz")
    unpacked = place / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "--extract", f"--file={tarball}", f"--directory={unpacked}"], check=True)
    return unpacked


@pytest.fixture(scope="module")
def contents(unpacked: Path) -> set[str]:
    return {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}


def test_nothing_else(contents: set[str]) -> None:
    assert {name.partition("/")[0] for name in contents} <= USED | MADE
    assert contents - MADE <= set(tracked())


def test_nothing_is_missing(contents: set[str]) -> None:
    needed = {name for name in tracked() if name.partition("/")[0] in PARTS}
    assert needed
    assert needed <= contents
    assert {"COPYING", "README.md", "LICENSES/GPL-3.0-or-later.txt"} <= contents


def test_what_is_for_maintainers_stays_at_home(contents: set[str]) -> None:
    assert not {name for name in contents if name.startswith("changelogs/fragments")}
    assert not contents & {"docs/index.md", "docs/releasing.md"}


def test_no_link_is_dead_in_it(unpacked: Path) -> None:
    """A guide is read where it was installed, too. What is not in the tarball has its address in the repository."""
    pages = sorted(unpacked.rglob("*.md"))
    assert len(pages) > 20
    links = [(page, link) for page in pages for link in re.findall(r"(?:\]\(|\{\w+\} )([^)#\s]+)", page.read_text())]
    local = [(page, link) for page, link in links if "://" not in link]
    assert local
    assert [f"{page.name}: {link}" for page, link in local if not (page.parent / link).exists()] == []

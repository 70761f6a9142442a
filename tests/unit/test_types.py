# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelt key of a result does not pass `mypy --strict`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy.api")  # not where only ansible-core is another

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
PACKAGE = "ansible_collections.netops.ephemeral_ports.plugins"

# Room, what it reads there, the same misspelt, and what it is misspelt in.
PLANTED = [
    ("module_utils/_usage/words.py", 'usage["complete"]', 'usage["compleet"]', "compleet", "Usage"),
    (
        "plugin_utils/_report/group.py",
        'one["before"] != one["after"]',
        'one["before"] != one["afer"]',
        "afer",
        "KeyResult",
    ),
    ("plugin_utils/_report/files.py", 'pool["saturation"],', 'pool["satturation"],', "satturation", "Pool"),
]


def mypy(directory: Path) -> list[str]:
    """What it complains of in the files of the directory. Its cache has everything else."""
    command = [sys.executable, "-m", "mypy", f"--config-file={ROOT}/pyproject.toml", "--no-error-summary"]
    files = [str(path) for path in sorted(directory.glob("*.py"))]
    environment = {**os.environ, "MYPY_CACHE_DIR": str(ROOT / "build/mypy-planted")}
    done = subprocess.run([*command, *files], check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stderr == ""
    return done.stdout.splitlines()


def copy_room(room: str, target: Path, right: str = "", wrong: str = "") -> None:
    """A copy with absolute imports, so that it can lie anywhere."""
    source = (PLUGINS / room).read_text()
    assert right in source
    package = [PACKAGE, *Path(room).parts[:-1]]

    def absolute(match: re.Match[str]) -> str:
        return f"{match[1]}from {'.'.join(package[: len(package) + 1 - len(match[2])])}.{match[3]} import"

    target.write_text(
        re.sub(r"^( *)from (\.+)(\S*) import", absolute, source.replace(right, wrong, 1), flags=re.MULTILINE)
    )


@pytest.mark.skipif(not (ROOT / "build").exists(), reason="mypy finds the collection below build/, which make sets up")
def test_misspelt_keys_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("mypy.api")
    for number, (room, right, wrong, _key, _kind) in enumerate(PLANTED):
        copy_room(room, tmp_path / f"planted{number}.py", right, wrong)
        copy_room(room, tmp_path / f"sound{number}.py")
    complaints = mypy(tmp_path)
    for number, (_room, _right, _wrong, key, kind) in enumerate(PLANTED):
        found = [line for line in complaints if f"planted{number}.py" in line]
        assert any(f'TypedDict "{kind}" has no key "{key}"' in line for line in found), complaints
    assert not [line for line in complaints if "planted" not in line]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

ENTRY = "_usage.watch.start"
PYTHON = "/usr/bin/python3"


def test_the_same_collection_gives_the_same_bytes() -> None:
    assert build_application(ENTRY, "1.0.0", PYTHON) == build_application(ENTRY, "1.0.0", PYTHON)


def test_another_version_gives_others() -> None:
    assert build_application(ENTRY, "1.0.0", PYTHON) != build_application(ENTRY, "1.0.1", PYTHON)


def test_it_has_what_it_needs_and_no_more() -> None:
    files = zipfile.ZipFile(io.BytesIO(build_application(ENTRY, "1.0.0", PYTHON))).namelist()
    assert "ephemeral_ports/_usage/words.py" in files
    assert not [one for one in files if "_stress" in one or "transaction" in one]


def test_it_runs_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "ephemeral-ports"
    file.write_bytes(build_application(ENTRY, "1.2.3", sys.executable))
    file.chmod(0o755)
    done = subprocess.run([file, "--version"], check=True, capture_output=True, text=True, cwd=tmp_path, env={})
    assert done.stdout == "ephemeral-ports 1.2.3\n"


@pytest.mark.parametrize("interpreter", ["python3", "/usr/bin/env python3", "", "/usr/bin/python3\n"])
def test_an_interpreter_that_no_kernel_finds_is_refused(interpreter: str) -> None:
    with pytest.raises(ValueError, match="absolute path without blanks"):
        build_application(ENTRY, "1.0.0", interpreter)

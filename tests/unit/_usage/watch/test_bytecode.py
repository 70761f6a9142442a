# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import functools
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import environments
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import Error
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import install
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._application import build_application

ENTRY, COMPILER = "_usage.watch.start", "_usage.watch.bytecode"
QUIET = "ephemeral_ports/_usage/watch/quiet.py"
# What the sources of the command are, and how many of its modules were compiled, from sources or not.
LOADS = """
import builtins, json, sys
sys.path[:0] = [sys.argv[1]]
import zipimport
compiled, builtin = [], builtins.compile
builtins.compile = lambda source, *rest, **more: compiled.append(rest[0]) or builtin(source, *rest, **more)
import ephemeral_ports._usage.watch.command, ephemeral_ports._usage.watch.quiet as quiet
print(json.dumps([len([one for one in compiled if sys.argv[1] in one]), quiet.LONGEST]))
"""


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of the file is whoever runs the tests."""
    monkeypatch.setattr(install, "_ROOT", os.getuid())


@functools.cache
def built(version: str = "1.2.3", python: str = sys.executable) -> bytes:
    return build_application(ENTRY, version, python, COMPILER)


def loads(file: Path, python: str = sys.executable) -> list[int]:
    """How many files were compiled, and a constant of the code that was run."""
    done = subprocess.run([python, "-I", "-S", "-c", LOADS, file], check=True, capture_output=True, text=True)
    return [int(one) for one in json.loads(done.stdout)]


def changed(content: bytes, edit: dict[str, bytes]) -> bytes:
    """The archive with these entries instead."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, edit.get(entry.filename, old.read(entry)), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def test_both_forms_give_the_same_answer_and_one_compiles_nothing(tmp_path: Path) -> None:
    plain, fast = tmp_path / "plain", tmp_path / "fast"
    plain.write_bytes(built())
    fast.write_bytes(install.compiled(built(), str(fast), sys.executable))
    assert loads(plain)[0] > 40
    assert loads(fast)[0] == 0
    for arguments in (["--help"], ["--version"], ["--top", "none"]):
        answers = [
            subprocess.run([sys.executable, file, *arguments], capture_output=True, check=False)
            for file in (plain, fast)
        ]
        assert answers[0].stdout == answers[1].stdout
        assert answers[0].returncode == answers[1].returncode


@pytest.mark.parametrize("version", ["3.6", "3.13"])
def test_each_python_takes_its_own_and_no_other(version: str, tmp_path: Path) -> None:
    found = environments.find_python([version])
    if found is None:
        pytest.skip(f"no Python {version} on PATH or in pyenv")
    python, fast = str(found), tmp_path / "fast"
    content = install.compiled(built(), str(fast), python)
    assert content == install.compiled(built(), str(fast), python)
    fast.write_bytes(content)
    names = [sys.executable, python]
    same = len({subprocess.run([one, "-VV"], capture_output=True, check=True).stdout for one in names}) == 1
    # Before 3.8 zipimport compiles by what this does not see; that it takes bytecode shows below, by its content.
    assert loads(fast, python)[1] == 900
    assert same or loads(fast)[0] > 40
    other = zipfile.ZipFile(io.BytesIO(content)).read(QUIET).replace(b"LONGEST = 900", b"LONGEST = 901")
    of_other = install.compiled(changed_source(other), str(fast), python)
    # Bytecode of the source that is beside it is taken, and no other.
    swapped = changed(content, {f"{QUIET}c": zipfile.ZipFile(io.BytesIO(of_other)).read(f"{QUIET}c")})
    fast.write_bytes(swapped)
    if sys_version(python) >= (3, 8):
        assert loads(fast, python)[1] == 900
    else:
        assert loads(fast, python)[1] == 901, "it is told by the time of its source alone"


def changed_source(quiet: bytes) -> bytes:
    first_line = built().partition(b"\n")[0] + b"\n"
    return first_line + changed(built(), {QUIET: quiet})


def sys_version(python: str) -> tuple[int, ...]:
    show = "import sys; print(*sys.version_info[:2])"
    return tuple(map(int, subprocess.run([python, "-c", show], capture_output=True, check=True).stdout.split()))


def options(path: Path, application: bytes, python: str = sys.executable) -> dict[str, Any]:
    return {"path": str(path), "interpreter": python, "application": base64.b64encode(application).decode()}


@pytest.mark.usefixtures("as_root")
def test_installed_once_and_check_mode_foretells(tmp_path: Path) -> None:
    file = tmp_path / "ephemeral-ports"
    wanted = options(file, built())
    foretold = install.install(wanted, check=True)
    assert not file.exists()
    done = install.install(wanted, check=False)
    assert foretold == done
    assert done["changed"]
    assert (file.stat().st_mode & 0o777, file.stat().st_size) == (0o755, done["size"])
    for check in (True, False):
        again = install.install(wanted, check)
        assert (again["changed"], "diff" in again) == (False, False)
    assert subprocess.run([file, "--version"], capture_output=True, text=True, check=True).stdout.endswith("1.2.3\n")


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("what", ["version", "bytecode"])
def test_what_differs_is_replaced(what: str, tmp_path: Path) -> None:
    """Bytecode too: of another Python, as after an upgrade."""
    file = tmp_path / "ephemeral-ports"
    install.install(options(file, built()), check=False)
    if what == "version":
        wanted = options(file, built("1.2.4"))
    else:
        wanted = options(file, built())
        content = file.read_bytes()
        file.write_bytes(content.partition(b"\n")[0] + b"\n" + changed(content, {f"{QUIET}c": b"of another"}))
        assert loads(file)[0] in (1, 2)  # zipimport may compile once more to find the name
    assert install.install(wanted, check=False)["changed"]
    assert not install.install(wanted, check=False)["changed"]
    assert loads(file) == [0, 900]


@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/false"])
def test_an_interpreter_that_cannot_is_named(python: str, tmp_path: Path) -> None:
    with pytest.raises(Error, match=f"interpreter: {python} "):
        install.install(options(tmp_path / "ephemeral-ports", built(), python), check=True)

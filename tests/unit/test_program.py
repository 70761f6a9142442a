# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code as one text, run by this Python without its site-packages."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.modules.port_usage_info import ARGUMENTS
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _program
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._host_files import HOST_CODE

SOURCES = sorted(path.relative_to(HOST_CODE).as_posix() for path in HOST_CODE.rglob("*.py"))
DEFAULTS = {name: spec.get("default") for name, spec in ARGUMENTS.items()}
# Bytes, with what base64 adds. More needs a reason: each host gets it for each observation.
MOST = 105_000


@pytest.fixture(scope="module")
def program() -> str:
    return _program.build("_usage.run")


def run(program: bytes, *command: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or [sys.executable, "-S"],
        input=program.decode(),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stderr == ""
    assert done.stdout.startswith("\n")  # what another has printed may not end with one
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("path", SOURCES)
def test_without_words_it_is_the_same_code(path: str) -> None:
    source = (HOST_CODE / path).read_text()
    found = _program.without_words(source)
    assert ast.dump(ast.parse(found)) == ast.dump(WithoutDocstrings().visit(ast.parse(source)))
    places = [[(node.lineno, node.col_offset) for node in statements(one)] for one in (source, found)]
    assert set(places[1]) <= set(places[0])  # a traceback names the lines of the file
    assert len(found) < len(source)


class WithoutDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        words = ast.get_docstring(node) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else None
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and words is not None:
            node.body = node.body[1:] or ([ast.Pass()] if not isinstance(node, ast.Module) else [])
        return node


def statements(source: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def test_it_observes(program: str) -> None:
    usage = answer(run(_program.with_options(program, DEFAULTS, False, None)))
    assert usage["kind"] == "usage"
    assert usage["method"] in ("sockstat", "netlink", "procfs")


def test_it_says_what_is_wrong(program: str) -> None:
    done = run(_program.with_options(program, {**DEFAULTS, "max_pools": 0}, False, None))
    assert (answer(done)["msg"], done.returncode) == ("max_pools must be between 1 and 1000, not 0", 1)


def test_two_builds_are_the_same(program: str) -> None:
    assert _program.build("_usage.run") == program


def test_it_is_small(program: str, record_property: Any) -> None:
    sent = len(_program.with_options(program, DEFAULTS, False, None))
    record_property("bytes of an observation", sent)
    print(f"an observation sends {sent:,} bytes")
    assert sent < MOST


HOSTILE = (
    "'''\"\"\"});import os;os.system('touch hurt')#\n\r\\\\'\\\"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>\0\ud800\u2028é"
)


def test_no_option_is_code(program: str, tmp_path: Path) -> None:
    text = _program.with_options(program, {**DEFAULTS, "destination": HOSTILE}, False, None)
    said = answer(run(text, cwd=tmp_path))["msg"]
    assert said == f"destination {HOSTILE!r} is not ADDRESS, ADDRESS:PORT or [IPV6]:PORT with a literal address"
    assert [*tmp_path.iterdir()] == []
    assert text.isascii()


def test_what_json_has_not_is_refused(program: str) -> None:
    with pytest.raises(TypeError):
        _program.with_options(program, {"x": object()}, False, None)


@pytest.mark.parametrize("how", ["stdin", "file"])
def test_modules_that_lie_beside_it_are_not_loaded(program: str, tmp_path: Path, how: str) -> None:
    for name in ("json", "zlib", "binascii", "os", "typing", "syslog", "ephemeral_ports"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not mine')")
    (tmp_path / "program.py").write_bytes(_program.with_options(program, DEFAULTS, False, None))
    given = [str(tmp_path / "program.py")] if how == "file" else []
    done = run((tmp_path / "program.py").read_bytes(), sys.executable, "-S", *given, cwd=tmp_path)
    assert answer(done)["kind"] == "usage"


@pytest.mark.parametrize("how", ["stdin", "file"])
def test_an_exception_names_its_lines(program: str, tmp_path: Path, how: str) -> None:
    text = _program.with_options(program, {}, False, None)
    (tmp_path / "program.py").write_bytes(text)
    done = run(text, sys.executable, *([str(tmp_path / "program.py")] if how == "file" else []))
    assert len(done.stderr) < 2000  # and not the program
    assert done.returncode == 1
    assert 'File "ephemeral_ports/_usage/run.py", line ' in done.stderr
    assert done.stderr.endswith("KeyError: 'max_pools'\n") or done.stderr.endswith("KeyError: 'detail'\n")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_does_nothing_with_it(program: str, tmp_path: Path, shell: str) -> None:
    done = run(_program.with_options(program, DEFAULTS, False, None), f"/bin/{shell}", cwd=tmp_path, PATH="/nowhere")
    assert done.returncode != 0
    assert "yntax error" in done.stderr
    assert "not found" not in done.stderr

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code as one text, run by this Python without its site-packages."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.modules.port_usage_info import ARGUMENTS
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _program

DEFAULTS = {name: spec.get("default") for name, spec in ARGUMENTS.items()}
# Bytes. More needs a reason: each host gets it for each observation.
MOST = 72_000
NOTHING_MORE = (False, None)


class Form(NamedTuple):
    """How a program gets to an interpreter: as a file, or by its standard input."""

    name: str
    make: Callable[[bytes, str], bytes]

    def run(
        self, packed: bytes, given: str, directory: Path, interpreter: str = sys.executable, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        made = self.make(packed, given)
        command, piped = [interpreter, *shlex.split(_program.LOADER)], made
        if self.name == "file":
            (directory / "program.py").write_bytes(made)
            command, piped = [interpreter, str(directory / "program.py")], b""
        done = subprocess.run(command, input=piped, capture_output=True, check=False, cwd=directory, env=environment)
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


FORMS = (Form("file", _program.as_file), Form("input", _program.as_input))


@pytest.fixture(scope="module")
def packed() -> bytes:
    return _program.build("_usage.run")


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stderr == ""
    assert done.stdout.startswith("\n")  # what another has printed may not end with one
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_it_observes(packed: bytes, form: Form, tmp_path: Path) -> None:
    usage = answer(form.run(packed, _program.describe_given(DEFAULTS, *NOTHING_MORE), tmp_path))
    assert usage["kind"] == "usage"
    assert usage["method"] in ("sockstat", "netlink", "procfs")


def test_it_says_what_is_wrong(packed: bytes, form: Form, tmp_path: Path) -> None:
    given = _program.describe_given({**DEFAULTS, "max_pools": 0}, *NOTHING_MORE)
    done = form.run(packed, given, tmp_path)
    assert (answer(done)["msg"], done.returncode) == ("max_pools must be between 1 and 1000, not 0", 1)


def test_two_builds_are_the_same(packed: bytes) -> None:
    assert _program.build("_usage.run") == packed


def test_it_is_small(packed: bytes, record_property: Any) -> None:
    sent = len(_program.as_input(packed, _program.describe_given(DEFAULTS, *NOTHING_MORE)))
    record_property("bytes of an observation", sent)
    print(f"an observation sends {sent:,} bytes")
    assert sent < MOST


HOSTILE = (
    "'''\"\"\"});import os;os.system('touch hurt')#\n\r\\\\'\\\"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>\0\ud800\u2028é"
)


def test_no_option_is_code(packed: bytes, form: Form, tmp_path: Path) -> None:
    given = _program.describe_given({**DEFAULTS, "destination": HOSTILE}, *NOTHING_MORE)
    said = answer(form.run(packed, given, tmp_path))["msg"]
    assert said == f"destination {HOSTILE!r} is not ADDRESS, ADDRESS:PORT or [IPV6]:PORT with a literal address"
    assert [one.name for one in tmp_path.iterdir() if one.name != "program.py"] == []
    assert given.isascii()
    assert len(given.splitlines()) == 1


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError):
        _program.describe_given({"x": object()}, *NOTHING_MORE)


def test_modules_that_lie_beside_it_are_not_loaded(packed: bytes, form: Form, tmp_path: Path) -> None:
    for name in ("json", "zlib", "binascii", "os", "typing", "syslog", "ephemeral_ports"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not mine')")
    done = form.run(packed, _program.describe_given(DEFAULTS, *NOTHING_MORE), tmp_path)
    assert answer(done)["kind"] == "usage"


def test_an_exception_names_its_lines(packed: bytes, form: Form, tmp_path: Path) -> None:
    done = form.run(packed, _program.describe_given({}, *NOTHING_MORE), tmp_path)
    assert len(done.stderr) < 2000  # and not the program
    assert done.returncode == 1
    assert 'File "ephemeral_ports/_usage/run.py", line ' in done.stderr
    path, line = re.findall(r'File "ephemeral_ports/(\S+)", line (\d+)', done.stderr)[-1]
    name = re.findall(r"KeyError: '(max_pools|detail)'\n\Z", done.stderr)[0]
    assert f'["{name}"]' in (_program.HOST_CODE / path).read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_does_nothing_with_it(packed: bytes, form: Form, tmp_path: Path, shell: str) -> None:
    given = _program.describe_given(DEFAULTS, *NOTHING_MORE)
    done = form.run(packed, given, tmp_path, f"/bin/{shell}", PATH="/nowhere")
    assert done.returncode != 0
    assert "yntax error" in done.stderr
    assert "not found" not in done.stderr


def run_as_module(interpreter: str, module: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [interpreter, *shlex.split(_program.MODULE_LOADER)]
    environment = {"PATH": "/nowhere"}
    return subprocess.run(
        command, input=module, capture_output=True, check=False, cwd=directory, env=environment, text=True
    )


def test_a_piped_module_is_what_python_would_read_by_itself(tmp_path: Path) -> None:
    module = (
        "#!/usr/bin/python\n# -*- coding: utf-8 -*-\nfrom __future__ import annotations\nimport sys\n"
        "print(__name__, sys.argv, '__file__' in globals(), ascii('\u00e9'), sys.stdin.read())\nraise SystemExit(3)\n"
    )
    done = run_as_module(sys.executable, module, tmp_path)
    assert (done.stdout, done.returncode) == ("__main__ ['-c'] False '\\xe9' \n", 3)


def test_an_exception_of_a_piped_module_names_its_line(tmp_path: Path) -> None:
    done = run_as_module(sys.executable, "\n\n1 / 0\n", tmp_path)
    assert '  File "<stdin>", line 3, in <module>\n' in done.stderr


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_does_nothing_with_a_piped_module(tmp_path: Path, shell: str) -> None:
    done = run_as_module(f"/bin/{shell}", "echo hurt\n", tmp_path)
    assert (done.stdout, done.returncode) == ("", 2)
    assert "yntax error" in done.stderr
    assert "not found" not in done.stderr


@pytest.mark.parametrize("loader", [_program.LOADER, _program.MODULE_LOADER], ids=["program", "module"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shells_pass_the_loaders_on_as_they_are(shell: str, loader: str) -> None:
    printed = subprocess.run(
        [f"/bin/{shell}", "-c", f"printf '%s\\n' {loader}"], capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines() == shlex.split(loader)
    assert not set("$`\\!%\n") & set(loader)

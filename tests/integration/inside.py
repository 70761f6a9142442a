# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a test function, as plain Python, where it can change sysctls and their files without touching the machine."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
REFUSED = 3


def _load_script(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    loader.cache_from_source = None  # type: ignore[attr-defined]
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))  # type: ignore[arg-type]
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


namespaces = _load_script(ROOT / "scripts" / "private_namespaces")


def in_child(function: Callable[[], object]) -> tuple[int, str]:
    """Run a function in a child process: its exit code (negative: the signal that killed it), and its traceback."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(TIMEOUT_S)
            function()
            code = 0
        except namespaces.RefusedError as error:
            os.write(writer, str(error).encode())
            code = REFUSED
        except BaseException:  # noqa: BLE001, RUF100 - a test fails by more than Exception
            os.write(writer, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def private(test: Callable[..., None]) -> Callable[..., None]:
    """Decorate a test that has kernel settings, sysctl files and state directory of its own (scripts/private_namespaces).

    It runs in a child process; 198.18.0.1 is its own address.
    """

    @functools.wraps(test)
    def run(*arguments: object, **fixtures: object) -> None:
        def body() -> None:
            namespaces.prepare(["198.18.0.1"], [])
            test(*arguments, **fixtures)

        code, text = in_child(body)
        if code == REFUSED:
            pytest.skip(text)
        if code:
            pytest.fail(text or f"exit code {code}", pytrace=False)

    return run

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a test function, as plain Python, where it can change sysctls and their files without touching the machine."""

from __future__ import annotations

import functools
import os
import signal
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import private_namespaces as namespaces
import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
REFUSED = 3  # exit code: there is a reason to skip the test
MOST_WORDS = 60000  # less than a pipe holds


def own_directory(path: Path) -> None:
    """In private namespaces: an empty directory, whether or not the machine has it."""
    path.mkdir(exist_ok=True)
    namespaces.mount("tmpfs", path, "tmpfs", 0, "mode=755")


def in_child(function: Callable[[], object]) -> tuple[int, str]:
    """Run a function in a child process: its exit code (negative: the signal that killed it), and its traceback."""
    return in_children([function])[0]


def in_children(functions: Iterable[Callable[[], object]]) -> list[tuple[int, str]]:
    """As in_child() for several functions at the same time."""
    started = [_start(function) for function in functions]
    return [(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), _read(reader)) for pid, reader in started]


def _start(function: Callable[[], object]) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(TIMEOUT_S)
            function()
            code = 0
        except (namespaces.RefusedError, pytest.skip.Exception) as error:
            os.write(writer, str(error).encode())
            code = REFUSED
        except BaseException:  # noqa: BLE001, RUF100 - a test fails by more than Exception
            os.write(writer, traceback.format_exc().encode()[-MOST_WORDS:])
        finally:
            os._exit(code)
    os.close(writer)
    return pid, reader


def _read(reader: int) -> str:
    with os.fdopen(reader, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def private(test: Callable[..., None]) -> Callable[..., None]:
    """Decorate a test that has kernel settings, sysctl files and state directory of its own.

    It runs in a child process, as scripts/private_namespaces.py would run it.
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

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kernel, in a private place: every call gets network and mount namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from . import consumer

ROOT = Path(__file__).resolve().parents[2]

InNamespace = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def in_namespace() -> InNamespace:
    """A function that runs a command, or Python source, in private namespaces (scripts/private_namespaces.py).

    `command` is a list of arguments, or a string of Python source for this interpreter; `arguments` follow it.
    `sysctls` are written before it starts, on top of the narrow range of 500 ports.
    The result is a CompletedProcess with text; `check=False` lets the command fail.
    """

    def run(
        command: str | Sequence[str],
        *arguments: str,
        sysctls: Mapping[str, str] | None = None,
        addresses: Sequence[str] = ("198.18.0.1",),
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", command] if isinstance(command, str) else list(command)
        settings = {"net.ipv4.ip_local_port_range": "32768 33267", **(sysctls or {})}
        options = [f"--address={address}" for address in addresses]
        options += [f"--sysctl={key}={value}" for key, value in settings.items()]
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts/private_namespaces.py"), *options, "--", *argv, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT / "build"), **(environment or {})},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it is released, built from what a commit of the present files would hold."""
    scratch = tmp_path_factory.mktemp("tarball")
    return consumer.build(consumer.clean_copy(scratch / "source"), scratch / "output")


@pytest.fixture(scope="session")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released collection in a collections path that held nothing. Not to be changed by tests."""
    return consumer.install(tarball, tmp_path_factory.mktemp("installed"))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kernel, in a private place: every call gets network, user and mount namespaces of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The unprivileged way comes first; the second is for root where user namespaces are switched off.
LAUNCHERS = (["unshare", "-Urnm"], ["unshare", "-nm"])

# Runs inside: brings lo up with the addresses, writes the sysctls, becomes the command.
BOOTSTRAP = """
import json, os, subprocess, sys
setup = json.loads(sys.argv[1])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in setup["addresses"]:
    subprocess.run(["ip", "address", "replace", address, "dev", "lo"], check=True)
for key, value in setup["sysctls"].items():
    with open("/proc/sys/" + key.replace(".", "/"), "w") as stream:
        stream.write(value)
os.execvp(sys.argv[2], sys.argv[2:])
"""

InNamespace = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def in_namespace() -> InNamespace:
    """A function that runs a command, or Python source, in a namespace of its own.

    `command` is a list of arguments, or a string of Python source for this interpreter; `arguments` follow it.
    `sysctls` are written before it starts, on top of the narrow range of 500 ports.
    The result is a CompletedProcess with text; `check=False` lets the command fail.
    """

    def works(launcher: Sequence[str]) -> bool:
        return subprocess.run([*launcher, "true"], check=False, capture_output=True).returncode == 0

    launcher = next(filter(works, LAUNCHERS), None)
    if launcher is None:
        pytest.skip("neither user namespaces nor root: no private network namespace")

    def run(
        command: str | Sequence[str],
        *arguments: str,
        sysctls: Mapping[str, str] | None = None,
        addresses: Sequence[str] = ("198.18.0.1/32",),
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", command] if isinstance(command, str) else list(command)
        setup = {
            "addresses": list(addresses),
            "sysctls": {"net.ipv4.ip_local_port_range": "32768 33267", **(sysctls or {})},
        }
        done = subprocess.run(
            [*launcher, sys.executable, "-c", BOOTSTRAP, json.dumps(setup), *argv, *arguments],
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

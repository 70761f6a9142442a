# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real kernel, in a private place: every call gets network and mount namespaces of its own.

That is why tests can run side by side, each in whichever process of pytest-xdist is free.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from . import ansible_run, consumer

ROOT = Path(__file__).resolve().parents[2]

# Modules whose tests share what takes long to make, or a place in build/: they run in one process, one after the other.
TOGETHER = {
    "test_crashes",
    "test_demo",
    "test_fault_injection",
    "test_fleet_page",
    "test_forecast",
    "test_managed_pythons",
    "test_transport",
}

# Sockets age, whether or not a processor is free to look at them. Only root may go before others.
PROMPTLY = ["nice", "--adjustment=-10"] if os.geteuid() == 0 else []

# Of one test, which waits for most of its time: the others run meanwhile.
FIRST = "test_watch_chain"

RELEASES = ("bullseye", "bookworm", "trixie")

InNamespace = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes for `--numprocesses=auto`: more than there are processors, because some tests wait."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One test at a time, but for those of some modules, which come first.

    The mark xdist_group would do the same, and does nothing with pytest 9.2 (pytest-xdist issue 1386).
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            if Path(module).stem == "test_hostile":
                return f"{module}[{nodeid.partition('[')[2]}"  # those that share a run
            return module if Path(module).stem in TOGETHER else nodeid

    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem != FIRST)


def pytest_sessionfinish() -> None:
    ansible_run.end_servers()


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
        timeout: float = 300,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", command] if isinstance(command, str) else list(command)
        settings = {"net.ipv4.ip_local_port_range": "32768 33267", **(sysctls or {})}
        options = [f"--address={address}" for address in addresses]
        options += [f"--sysctl={key}={value}" for key, value in settings.items()]
        done = subprocess.run(
            [*PROMPTLY, sys.executable, str(ROOT / "scripts/private_namespaces.py"), *options, "--", *argv, *arguments],
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
def debian() -> Path:
    """Programs of Debian's releases, each in a directory. Where there is no way to have them, skip.

    But fail where everything has to be tested.
    """
    done = subprocess.run([ROOT / "scripts/sysctl_loaders", *RELEASES], check=False, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("TEST_EVERYTHING") else pytest.skip)(done.stderr.strip())
    return ROOT / "build/loaders"


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it is released, built and installed once for all processes of this run."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "released"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            tarball = consumer.build(consumer.clean_copy(place / "source"), place / "output")
            consumer.install(tarball, place / "installed")
            (place / "done").touch()
    return place


@pytest.fixture(scope="session")
def tarball(released: Path) -> Path:
    """What is uploaded to Galaxy, built from what a commit of the present files would hold."""
    (path,) = (released / "output").glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def installed(released: Path) -> Path:
    """The released collection in a collections path that held nothing. Not to be changed by tests."""
    return released / "installed" / "ansible_collections" / "netops" / "ephemeral_ports"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run what runs on managed hosts against recorded kernels. Python 3.6, standard library only.

usage: replay.py observe DIRECTORY    look at each kernel in each case, into DIRECTORY/observed.json
       replay.py apply DIRECTORY      apply DIRECTORY/KERNEL.conf and roll it back, into DIRECTORY/applied.json
"""

import json
import platform
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple
from unittest import mock

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import running, transaction
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import Dropin
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.result import ApplyResult
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import keys, netlink, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import observe as usage_observe
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import options as usage_options

RECORDINGS = Path(__file__).resolve().parents[3] / "tests" / "unit" / "recordings"

# What differs from the recording in a case: values of net.ipv4 keys, None for a key that is not there.
CASES = {
    "as recorded": {},
    "recycle on": {"tcp_tw_recycle": "1"},
    "reuse two": {"tcp_tw_reuse": "2"},
    "in a container": {"tcp_tw_recycle": None, "tcp_tw_reuse": None},
}  # type: Dict[str, Dict[str, Optional[str]]]

OPTIONS = {
    "detail": "full",
    "max_pools": 10,
    "destination": None,
    "warning_threshold": 0.4,
    "critical_threshold": 0.5,
    "namespaces": ["own"],
    "probe": "never",  # the kernel that would answer is another one
}


class Playback(inet_diag.SockDiag):
    """Answers as the kernel has answered, the listeners first."""

    def __init__(self, directory: Path) -> None:
        self.interrupted = False
        self._directory = directory

    def __exit__(self, *_error: object) -> None:
        pass

    def dump(self, states: int) -> Iterator[Tuple[bytes, int]]:
        names = ("sock_diag.inet.bin", "sock_diag.inet6.bin")
        messages = [one for name in names for one in self._messages(name) if states >> one[17] & 1]
        messages.sort(key=lambda one: one[17] != 10)
        return netlink.split(b"".join(messages), inet_diag.ALIKE)

    def _messages(self, name: str) -> Iterator[bytes]:
        data = (self._directory / name).read_bytes()
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind == 20:  # about a socket
                yield data[:length]
            data = data[length + 3 & ~3 :]


def observe_all() -> Dict[str, Any]:
    """What port_usage_info returns, by kernel, case and method; without the cases that a kernel cannot be in."""
    found = {}  # type: Dict[str, Any]
    for kernel in kernels():
        for case, changes in CASES.items():
            with tempfile.TemporaryDirectory() as scratch:
                copy = Path(scratch, kernel)
                shutil.copytree(str(RECORDINGS / kernel), str(copy))
                (copy / "proc/uptime").write_text("600.00 1200.00\n")  # the one thing that was not recorded
                if make_case(copy / "proc/sys/net/ipv4", changes):
                    found.setdefault(kernel, {})[case] = {how: observe(copy, how) for how in ("netlink", "procfs")}
    return found


def kernels() -> Iterator[str]:
    return (entry.name for entry in sorted(RECORDINGS.iterdir()) if entry.is_dir())


def make_case(keys: Path, changes: Dict[str, Optional[str]]) -> bool:
    if not all((keys / name).exists() for name in changes):
        return False
    for name, value in changes.items():
        (keys / name).unlink()
        if value is not None:
            (keys / name).write_text(value + "\n")
    return True


def observe(directory: Path, method: str) -> Dict[str, Any]:
    options = usage_options.check_options(dict(OPTIONS, method=method))
    with mock.patch.object(inet_diag, "SockDiag", return_value=Playback(directory)):
        usage = usage_observe.observe(options, str(directory / "proc"))
    usage["namespace"]["inode"] = 0  # that in which this runs was not recorded either
    return usage


def apply(kernel: str, text: str) -> Dict[str, Any]:
    """What a run foretells, does, and does the second time, and whether the way back leads to where it began."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        root = str(place / "sys")
        shutil.copytree(str(RECORDINGS / kernel / "proc/sys"), root)
        dropin = Dropin(str(place / "99-zz.conf"), str(place / "state"), root)
        at_first = contents(place)
        foretold = change(dropin, text, check=True)
        untouched = contents(place) == at_first
        done = change(dropin, text)
        values = sysctl.read_all(keys.NAMES, root)
        again = change(dropin, text)
        written = Path(dropin.path).read_text()
        change(dropin, None)
        return {
            "foretold": [setting._asdict() for setting in foretold.settings],
            "untouched_by_check_mode": untouched,
            "done": [setting._asdict() for setting in done.settings],
            "changed": [foretold.changed, done.changed, again.changed],
            "values": values,
            "written": written,
            "rolled_back": contents(place) == at_first,
        }


def change(dropin: Dropin, text: Optional[str], check: bool = False) -> ApplyResult:
    """Apply the text, or roll back where there is none."""
    # A plain file keeps what a shorter value does not cover; the kernel does not.
    with mock.patch.object(running, "write_sysctl", _set), transaction.begin(dropin, 5, check) as start:
        if text is None:
            return transaction.commit(start, transaction.prepare_rollback(start, trial=False))
        return transaction.commit(start, transaction.prepare_apply(start, text, trial=False))


def _set(key: str, value: str, root: str) -> None:
    Path(sysctl.path_of(key, root)).write_text(f"{value}\n")


def contents(directory: Path) -> Dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def main(command: str, directory: str) -> None:
    place = Path(directory)
    if command == "observe":
        save(place / "observed.json", observe_all())
        save(place / "python.json", platform.python_version())
    else:
        save(place / "applied.json", {name: apply(name, (place / (name + ".conf")).read_text()) for name in kernels()})


def save(path: Path, result: object) -> None:
    path.write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])

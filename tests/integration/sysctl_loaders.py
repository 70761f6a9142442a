# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run real sysctl loaders on trees of files, and beside them the simulation. Needs namespaces of its own.

usage: sysctl_loaders.py ROOT, where ROOT holds the loaders, as scripts/sysctl_loaders unpacks them. A line of JSON on
stdin is a tree, path to {"text": ...}, {"link": ...} or {"directory": true}; text is in Latin-1. The answer is a line
of JSON, loader to {"running": {key: value}, "predicted": {key: value}}. The first line of all tells the versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import dialects, precedence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import ports, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl

COMMANDS = {dialects.SYSTEMD: ["/lib/systemd/systemd-sysctl"], dialects.PROCPS: ["/sbin/sysctl", "--system"]}

# What the kernel makes of a value: the group. It skips any blank before a number, even 0xA0, but only some end one, and
# whatever comes after the last number it does not read.
BLANKS = r"[\s\udca0]*"
PORTS = r"(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*|)"
RANGE = rf"{BLANKS}([2-6]\d{{4}}[ \t]{BLANKS}[2-6]\d{{4}})(?:[ \t].*)?"
SWITCH = rf"{BLANKS}([0-2])(?:[ \t].*)?"
NUMBER = rf"{BLANKS}(\d+)(?:[ \t].*)?"

# What each key starts with, and which values it takes. The device has a dot in its name.
KEYS = {
    "net.ipv4.ip_local_port_range": ("32768 60999", RANGE),
    "net.ipv4.ip_local_reserved_ports": ("", PORTS),
    "net.ipv4.tcp_tw_reuse": ("2", SWITCH),
    "net.ipv4.tcp_timestamps": ("1", NUMBER),
    "net.ipv4.tcp_fin_timeout": ("60", NUMBER),
    "net.ipv4.tcp_keepalive_time": ("7200", NUMBER),
    "net.ipv4.tcp_keepalive_intvl": ("75", NUMBER),
    "net.ipv4.conf.all.rp_filter": ("0", NUMBER),
    "net.ipv4.conf.default.rp_filter": ("0", NUMBER),
    "net.ipv4.conf.lo/7.rp_filter": ("0", NUMBER),
}
DEVICE = "lo.7"
DIRECTORIES = ("etc", "run", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")


def prepare(root: Path) -> None:
    """Make the root our own, with empty directories for sysctl files."""
    mounts = [["--rbind", "/proc", root / "proc"], ["-t", "tmpfs", "tmpfs", root / "dev"]]
    mounts += [["-t", "tmpfs", "tmpfs", root / name] for name in DIRECTORIES if not (root / name).parent.is_symlink()]
    for mount in mounts:
        subprocess.run(["mount", *mount], check=True)
    (root / "dev/null").touch()
    subprocess.run(["mount", "--bind", "/dev/null", root / "dev/null"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "name", DEVICE], check=True)
    os.chroot(root)
    os.chdir("/")


def grow(tree: dict[str, dict[str, Any]]) -> None:
    """Write the tree in place of the last one. Of two entries with one path (by links) the first counts."""
    for name in DIRECTORIES:
        for entry in Path("/", name).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    for name, content in tree.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            continue
        if "text" in content:
            path.write_bytes(content["text"].encode("latin-1"))
        elif "link" in content:
            path.symlink_to(content["link"])
        else:
            path.mkdir()


def load(loader: Loader) -> dict[str, str | None]:
    for key, (value, _pattern) in KEYS.items():
        write_sysctl(key, value)
    subprocess.run(
        COMMANDS[loader.name],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        timeout=120,
    )
    return sysctl.read_all(KEYS)


def predict(loader: Loader) -> dict[str, str | None]:
    files = boot_loaders.read_files(loader)
    values = precedence.boot_values(loader, files, KEYS, lambda key, value: taken(key, value) is not None)
    return {
        key: start if values[key].value is None else taken(key, values[key].value)
        for key, (start, _pattern) in KEYS.items()
    }


def taken(key: str, value: str) -> str | None:
    """The value that the kernel prints after this was written, with single blanks; None where it refuses."""
    match = re.fullmatch(KEYS[key][1], value, re.DOTALL)
    if match and KEYS[key][1] == PORTS:
        return str(ports.parse_ports(value))
    return " ".join(match[1].replace("\udca0", " ").split()) if match else None


def main() -> None:
    prepare(Path(sys.argv[1]))
    loaders = boot_loaders.find_loaders()
    print(json.dumps({loader.name: loader.version for loader in loaders}), flush=True)
    for line in sys.stdin:
        grow(json.loads(line))
        answer = {loader.name: {"running": load(loader), "predicted": predict(loader)} for loader in loaders}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

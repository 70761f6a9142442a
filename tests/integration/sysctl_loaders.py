# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run real sysctl loaders, and tuned, on trees of files, and beside them the simulation. Needs namespaces of its own.

usage: sysctl_loaders.py ROOT, where ROOT holds the loaders, as scripts/sysctl_loaders unpacks them. A line of JSON on
stdin is a tree, path to {"text": ...}, {"link": ...} or {"directory": true}; text is in Latin-1. The answer is a line
of JSON, loader to {"running": {key: value}, "predicted": {key: value}}; "tuned" is systemd-sysctl and then tuned. The
first line of all tells the versions.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from real_tuned import RealTuned

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import dialects, precedence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.precedence import (
    Stage,
    loader_stage,
    plain_stage,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.tuned import find_tuned
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl

VERSION = features.parse_version(features.release())
COMMANDS = {dialects.SYSTEMD: ["/lib/systemd/systemd-sysctl"], dialects.PROCPS: ["/sbin/sysctl", "--system"]}

# What each key starts with. The device has a dot in its name.
KEYS = {
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.ip_unprivileged_port_start": "1024",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.tcp_tw_reuse": "2",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv4.tcp_keepalive_intvl": "75",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.lo/7.rp_filter": "0",
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


def reset() -> None:
    for key, value in KEYS.items():
        write_sysctl(key, value)


def load(loader: Loader) -> None:
    subprocess.run(
        COMMANDS[loader.name],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        timeout=120,
    )


def predict(stages: Iterable[Stage]) -> dict[str, str]:
    values = precedence.boot_values(stages, KEYS, VERSION)
    return {key: start if (value := values[key].value) is None else value for key, start in KEYS.items()}


def answer(loaders: list[Loader], tuned: RealTuned) -> dict[str, Any]:
    results = {}
    for loader in loaders:
        stages = [loader_stage(loader, boot_loaders.read_files(loader), KEYS)]
        reset()
        load(loader)
        results[loader.name] = {"running": sysctl.read_all(KEYS), "predicted": predict(stages)}
        active = find_tuned()
        if loader.name == dialects.SYSTEMD and active:
            tuned.start()
            stages.append(plain_stage("tuned", active.entries, KEYS))
            results["tuned"] = {"running": sysctl.read_all(KEYS), "predicted": predict(stages)}
    return results


def main() -> None:
    root = Path(sys.argv[1])
    tuned = RealTuned(root)
    prepare(root)
    loaders = boot_loaders.find_loaders()
    print(json.dumps({loader.name: loader.version for loader in loaders}), flush=True)
    for line in sys.stdin:
        grow(json.loads(line))
        print(json.dumps(answer(loaders, tuned)), flush=True)


if __name__ == "__main__":
    main()

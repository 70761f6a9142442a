# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of Debian as the root of this process, to boot it by its own systemd-sysctl, procps, ufw and tuned.

What a boot sets is set in a network namespace beside that of the process, so that a host can be booted at any time.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import private_namespaces as namespaces

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import dialects, precedence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.late_writers import find_late_writers
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.precedence import loader_stage
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl

from .real_boot import UFW_STEP
from .real_tuned import RealTuned

VERSIONS = {
    "bullseye": [Loader(dialects.SYSTEMD, (247,)), Loader(dialects.PROCPS, (3, 3, 17))],
    "bookworm": [Loader(dialects.SYSTEMD, (252,)), Loader(dialects.PROCPS, (4, 0, 2))],
    "trixie": [Loader(dialects.SYSTEMD, (257,)), Loader(dialects.PROCPS, (4, 0, 4))],
}
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
# A table of sockets of its own for a network namespace, so small that to dump it costs nothing.
SOCKETS = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")
# By which a boot starts them.
WANTED = Path("/etc/systemd/system/multi-user.target.wants")
TUNED, UFW = WANTED / "tuned.service", WANTED / "ufw.service"
DIRECTORIES = ("etc", "run", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")


class Release:
    """From now on the root of this process, which has private namespaces, with no file that somebody may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tuned = RealTuned(root)
        self.ufw = UFW_STEP.search((root / "lib/ufw/ufw-init-functions").read_text())
        self.version = features.parse_version(features.release())
        self._outside = os.open("/", os.O_RDONLY)
        for name in DIRECTORIES:
            if not (root / name).parent.is_symlink():
                namespaces.mount("tmpfs", root / name, "tmpfs")
        namespaces.mount("tmpfs", root / "var", "tmpfs")
        namespaces.mount("tmpfs", root / "dev", "tmpfs")
        (root / "dev/null").touch()
        namespaces.mount("/dev/null", root / "dev/null", flags=namespaces.MS_BIND)
        namespaces.mount("/proc", root / "proc", flags=namespaces.MS_BIND | namespaces.MS_REC)
        for change in (["down"], ["name", DEVICE]):
            subprocess.run(["ip", "link", "set", "lo", *change], check=True)
        self._beside = os.open("/proc/self/ns/net", os.O_RDONLY)
        with contextlib.suppress(OSError):  # since Linux 6.1
            SOCKETS.write_text("512")
        namespaces.check(namespaces.libc.unshare(namespaces.CLONE_NEWNET), "unshare")
        namespaces.bring_up(["198.18.0.1"])
        self._here = os.open("/proc/self/ns/net", os.O_RDONLY)
        namespaces.mount(root / "etc", "/etc", flags=namespaces.MS_BIND)  # for ufw
        for encoding in ("ascii", "latin-1"):
            codecs.lookup(encoding)  # what is imported late would not be found
        os.chroot(root)
        os.chdir("/")
        self.loaders = boot_loaders.find_loaders()

    def boot(self, loader: Loader) -> dict[str, str]:
        """What each key is after a boot with this loader; only the first one that is installed has late writers."""
        with self._in_new_kernel():
            _call(*COMMANDS[loader.name])
            if loader == self.loaders[0]:
                self._late_writers()
            return sysctl.read_all(KEYS)

    def predict(self, loader: Loader) -> dict[str, str]:
        stages = [loader_stage(loader, boot_loaders.read_files(loader), KEYS)]
        if loader == self.loaders[0]:
            stages += find_late_writers(self.loaders, KEYS).stages
        values = precedence.boot_values(stages, KEYS, self.version)
        return {key: start if (value := values[key].value) is None else value for key, start in KEYS.items()}

    def differences(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Where a boot and its simulation differ, by loader and key."""
        found = {}
        for loader in self.loaders:
            booted, predicted = self.boot(loader), self.predict(loader)
            found.update({(loader.name, key): (booted[key], predicted[key]) for key in KEYS})
        return {place: values for place, values in found.items() if values[0] != values[1]}

    def _late_writers(self) -> None:
        if os.path.lexists(UFW):
            self._start_ufw()
        if os.path.lexists(TUNED):
            self.tuned.start()

    def _start_ufw(self) -> None:
        """The step of its init script, by a shell from outside: the release has none that would start."""
        assert self.ufw is not None
        sysctl = f'sysctl() {{ chroot "{self.root}" /sbin/sysctl "$@"; }}'
        script = f'{sysctl}\n. /etc/ufw/ufw.conf\n. /etc/default/ufw\n[ "$ENABLED" = yes ] || exit 0\n{self.ufw[0]}'
        _call("/bin/sh", "-c", script, preexec_fn=self._leave)

    def _leave(self) -> None:
        os.fchdir(self._outside)
        os.chroot(".")

    @contextlib.contextmanager
    def _in_new_kernel(self) -> Iterator[None]:
        self._go(self._beside)
        try:
            for key, value in KEYS.items():
                write_sysctl(key, value)
            yield
        finally:
            self._go(self._here)

    def _go(self, place: int) -> None:
        namespaces.check(namespaces.libc.setns(place, namespaces.CLONE_NEWNET), "setns")


def empty(directories: Iterable[Path]) -> None:
    for directory in directories:
        for path in directory.iterdir() if directory.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _call(*command: str, **options: object) -> None:
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.run(command, check=False, env={}, timeout=120, **quiet, **options)  # type: ignore[call-overload]  # they come by name

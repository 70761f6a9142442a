# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a boot sets, by the real programs of Debian 12: systemd-sysctl, ufw and tuned, one after the other.

Call real_programs() outside of the private namespaces, and boot() in them, as root of the files there.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import private_namespaces as namespaces
import pytest

from .real_tuned import RealTuned

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "bookworm"
SHARED = ("etc/sysctl.d", "etc/sysctl.conf", "etc/ufw", "proc")
UFW_STEP = re.compile(r'if \[ ! -z "\$IPT_SYSCTL" \].*?\n *fi\n', re.DOTALL)


def real_programs() -> Path:
    """Where they are. Where there is no way to have them, skip; but fail where everything has to be tested."""
    done = subprocess.run([ROOT / "scripts/sysctl_loaders", RELEASE], check=False, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("TEST_EVERYTHING") else pytest.skip)(done.stderr.strip())
    return ROOT / "build/loaders" / RELEASE


def boot(programs: Path) -> None:
    """Set what a boot would set."""
    for name in SHARED:
        if Path("/", name).exists():
            namespaces.mount(Path("/", name), programs / name, flags=namespaces.MS_BIND | namespaces.MS_REC)
    subprocess.run(["chroot", programs, "/lib/systemd/systemd-sysctl"], check=False, stderr=subprocess.DEVNULL)
    if Path("/etc/ufw/ufw.conf").exists():
        step = UFW_STEP.search((programs / "lib/ufw/ufw-init-functions").read_text())
        assert step is not None
        sysctl = f'sysctl() {{ chroot "{programs}" /sbin/sysctl "$@"; }}'
        script = f'{sysctl}\n. /etc/ufw/ufw.conf\n. /etc/default/ufw\n[ "$ENABLED" = yes ] || exit 0\n{step[0]}'
        subprocess.run(["sh", "-c", script], check=True, stderr=subprocess.DEVNULL)
    if Path("/etc/tuned/active_profile").exists():
        RealTuned(programs).start()

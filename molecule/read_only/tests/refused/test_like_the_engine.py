# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts/quick/podman starts in a container can do what the engine lets it do, and no more."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host

CONTEXT = r"""
id; pwd; umask; ulimit -a; env | sort; readlink /proc/self/ns/*; cat /proc/self/cgroup
grep -E '^(Groups|Sig(Blk|Ign|Cgt)|Cap|NoNewPrivs|Seccomp)' /proc/self/status
"""


def test_a_command_runs_as_one_of_the_engine_does(host: Host) -> None:
    engine = os.environ["CONTAINER_ENGINE"]
    program = os.environ["PODMAN"] if engine == "podman" else engine
    command = [program, "exec", host.backend.name, "/bin/sh", "-c", CONTEXT]
    by_engine = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert host.check_output(CONTEXT) == by_engine.strip()

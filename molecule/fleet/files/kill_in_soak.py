# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook, and kill it with its workers once it says that it pauses.

usage: python kill_in_soak.py COMMAND...
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as playing:
    try:
        reached = any(line.startswith("Pausing") for line in iter(playing.stdout.readline, ""))
    finally:
        # Workers have sessions of their own since ansible-core 2.19, and may outlive it.
        workers = Path(f"/proc/{playing.pid}/task/{playing.pid}/children").read_text().split()
        for process in [playing.pid, *map(int, workers)]:
            os.kill(process, signal.SIGKILL)
sys.exit(None if reached else "it has ended before")

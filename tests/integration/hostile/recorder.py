# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter of an honest host: runs what Ansible gives it there, and writes down call and answer.

usage: recorder.py TAPE ENTER... -- FILE    ENTER is the command by which the host is entered
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from payload import read_call

tape, *rest = sys.argv[1:]
enter, arguments = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
done = subprocess.run([*enter, *arguments], check=False, stdout=subprocess.PIPE)
sys.stdout.buffer.write(done.stdout)
call = read_call(arguments[0], Path(arguments[0]).read_bytes()) if arguments and Path(arguments[0]).is_file() else None
if call:
    with Path(tape).open("a") as file:
        file.write(json.dumps({**call._asdict(), "answer": json.loads(done.stdout)}) + "\n")
sys.exit(done.returncode)

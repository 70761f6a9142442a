# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the command ephemeral-ports on a host, compiled by the Python that will run it."""

import base64
import os
import subprocess
import tempfile
from typing import Any, Dict, Optional

from ..._common.errors import Error
from ..._dropin import durable_file
from ..._dropin.durable_file import FileState

_MODE, _ROOT = 0o755, 0
_TIMEOUT_S = 120
_COMPILE = (
    "import sys; sys.path[:0] = [sys.argv[1]];"
    "from ephemeral_ports._usage.watch.bytecode import main; sys.exit(main(sys.argv[2]))"
)


def install(options: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """Raises Error or OSError. The file is read whole or not at all, whenever the timer looks."""
    path, application = options["path"], base64.b64decode(options["application"])
    before = durable_file.read(path)
    content = compiled(application, path, options["interpreter"])
    wanted = FileState(content, _MODE, _ROOT, _ROOT, before and before.context)
    changed = before != wanted
    if changed and not check:
        durable_file.write(path, wanted)
    return {
        "kind": "command",
        "changed": changed,
        "path": path,
        "size": len(content),
        **({"diff": [_diff(path, before and len(before.content), len(content))]} if changed else {}),
    }


def compiled(application: bytes, path: str, interpreter: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="ephemeral-ports-") as directory:
        file = os.path.join(directory, "application")
        with open(file, "wb") as stream:
            stream.write(application)
        try:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                [interpreter, "-s", "-S", "-c", _COMPILE, file, path],
                input=application,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,
                env={"PYTHONHASHSEED": "0"},  # else the order of sets, and so the bytecode, differs from run to run
                timeout=_TIMEOUT_S,
                check=False,
            )
        except OSError as error:
            raise Error(f"interpreter: {interpreter} does not run: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise Error(f"interpreter: {interpreter} takes longer than {_TIMEOUT_S} s to compile the command") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Error(f"interpreter: {interpreter} cannot compile the command (exit status {done.returncode}): {last}")
    return done.stdout


def _diff(path: str, before: Optional[int], after: int) -> Dict[str, str]:
    sizes = ["" if one is None else f"{one} bytes, compressed\n" for one in (before, after)]
    return {"before_header": path, "after_header": path, "before": sizes[0], "after": sizes[1]}

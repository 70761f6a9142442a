# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the command ephemeral-ports begins: nothing more is loaded than this run needs."""

import sys

from . import quiet


def main(version: str) -> int:
    """The exit status."""
    arguments = sys.argv[1:]
    if len(arguments) > 1 and arguments[0] == "--metrics" and quiet.renew(arguments[1], [version, *arguments]):
        return 0
    from .command import main as run_whole

    return run_whole(version, arguments)

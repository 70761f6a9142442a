# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a drop-in, its journal and the running values are."""

import os
from typing import Optional

from .._boot.files import emptied_above
from .._common.errors import Error, OptionError
from .._kernel import sysctl
from .journal import journal_path


class ApplyError(Error):
    """The change was not made. All is as before, unless the message says otherwise."""


class Dropin:
    """Where a drop-in, its journal and the running values are.

    path may be a link; target is the file itself, or that to which it led when it was applied. root is /proc/sys.
    Raises OptionError for a path that cannot serve.
    """

    def __init__(self, path: str, state_dir: str, root: str = sysctl.PROC_SYS, target: Optional[str] = None) -> None:
        if not os.path.isabs(path) or not path.endswith(".conf"):
            raise OptionError(f"path must be absolute and end in .conf, or no loader reads it; {path} does not")
        self.path = os.path.normpath(path)
        self.target = target or os.path.realpath(path)
        self.directory = os.path.dirname(self.target)
        self.state_dir = check_state_dir(state_dir)
        # Unlike running values, which end with the boot as well.
        emptied = emptied_above(os.path.realpath(state_dir))
        if emptied:
            raise OptionError(
                f"state_dir {state_dir} is below {emptied}, which a reboot empties; nothing could be rolled back then"
            )
        self.journal = journal_path(self.state_dir, self.target)
        self.root = root
        if self.target == os.devnull:
            raise OptionError(f"path {path} is a link to {os.devnull}, which masks it; remove the link first")
        if not os.path.isdir(self.directory):
            raise OptionError(f"path {path} needs the directory {self.directory}, which does not exist")


def check_state_dir(path: str) -> str:
    """Raises OptionError for one that cannot serve."""
    if not os.path.isabs(path):
        raise OptionError(f"state_dir must be absolute; {path} is not")
    above = os.path.dirname(os.path.normpath(path))
    if not os.path.isdir(above):
        raise OptionError(f"state_dir {path} needs the directory {above}, which does not exist")
    return os.path.normpath(path)

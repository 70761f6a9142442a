# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a drop-in, its journal and the running values are."""

import os

from .._errors import Error
from .._kernel import sysctl
from .journal import journal_path


class ApplyError(Error):
    """The change was not made. All is as before, unless the message says otherwise."""


class Dropin:
    """Where a drop-in, its journal and the running values are.

    path may be a link; target is the file itself. root is /proc/sys. Raises ValueError for a path that cannot serve.
    """

    def __init__(self, path: str, state_dir: str, root: str = sysctl.PROC_SYS) -> None:
        if not os.path.isabs(path) or not path.endswith(".conf"):
            raise ValueError(f"path must be absolute and end in .conf, or no loader reads it; {path} does not")
        self.path = path
        self.target = os.path.realpath(path)
        self.directory = os.path.dirname(self.target)
        self.journal = journal_path(state_dir, self.target)
        self.root = root
        if self.target == os.devnull:
            raise ValueError(f"path {path} is a link to {os.devnull}, which masks it; remove the link first")
        if not os.path.isdir(self.directory):
            raise ValueError(f"path {path} needs the directory {self.directory}, which does not exist")
        if not os.path.isabs(state_dir):
            raise ValueError(f"state_dir must be absolute; {state_dir} is not")
        above = os.path.dirname(os.path.dirname(self.journal))
        if not os.path.isdir(above):
            raise ValueError(f"state_dir {state_dir} needs the directory {above}, which does not exist")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a boot starts a service of systemd."""

import glob
import os

from . import files

_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def is_started(root: str, name: str) -> bool:
    """Unless its unit is masked, or there is one that nothing wants. Without a unit, something else may start it.

    A unit whose name begins so counts as one that wants it: tuned-ppd requires tuned.
    """
    masks = (files.below(root, f"{directory}/{name}.service") for directory in _UNITS[:2])
    if any(os.path.islink(mask) and os.readlink(mask) == os.devnull for mask in masks):
        return False
    is_unit = any(files.exists(root, f"{directory}/{name}.service") for directory in _UNITS)
    # Links lead to absolute paths, which need not be below the root.
    return not is_unit or any(glob.glob(files.below(root, f"{directory}/*/{name}*.service")) for directory in _UNITS)

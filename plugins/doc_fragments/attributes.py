# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of the collection state about themselves."""

from __future__ import annotations


class ModuleDocFragment:
    # Of every module.
    DOCUMENTATION = r"""
options: {}
requirements:
  - Linux 3.10 and Python 3.6 on the managed host, or newer (python >= 3.6)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Returns details on what has changed (or would change in C(check_mode)) in diff mode.
  idempotent:
    description: When run twice in a row with the same arguments, the second run changes nothing.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""

    # Of those that only read.
    READS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: Nothing is changed in any mode.
  diff_mode:
    description: Returns details on what has changed (or would change in C(check_mode)) in diff mode.
    support: N/A
    details: Nothing is changed.
  idempotent:
    description: When run twice in a row with the same arguments, the second run changes nothing.
    support: full
"""

    # Of those that set sysctls.
    SETS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed (or would change in C(check_mode)) in diff mode.
    support: full
    details: Shows the file and the running values.
  idempotent:
    description: When run twice in a row with the same arguments, the second run changes nothing.
    support: full
"""

    # Of those that are one task for what several modules do.
    ACTION = r"""
options: {}
attributes:
  action:
    description: Has a part that runs on the controller.
    support: full
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/netops.ephemeral_ports.all) in C(module_defaults) for this and others of the group.
    support: full
    membership:
      - netops.ephemeral_ports.all
"""

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection states about itself."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
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

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/netops.ephemeral_ports.all) in C(module_defaults) for all modules of the collection.
    support: full
    membership:
      - netops.ephemeral_ports.all
"""

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several actions of the collection have."""

from __future__ import annotations


class ModuleDocFragment:
    # Of the actions that take values of options from variables.
    VARIABLES = r"""
options:
  variables:
    description:
      - Names of variables in which values of the other options are, as a dictionary like that of the options. What is
        null, or no variable, is left out. Or the name of a variable that has such a dictionary.
      - For a fleet this is cheaper than a template for each option, which Ansible compiles anew for each host.
    type: raw
    default: {}
"""
    TIMEOUT = r"""
options:
  timeout:
    description:
      - For how many seconds to wait for the host, which has failed then. 0 sets no limit.
      - Where the keyword C(timeout) of the task, or C(task_timeout), is shorter, that one counts.
    type: int
    default: 0
"""

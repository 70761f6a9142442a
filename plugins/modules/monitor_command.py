#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# The documentation of plugins/action/monitor_command.py, which is where ansible-doc looks for it.

DOCUMENTATION = r"""
---
module: monitor_command
short_description: Install the command ephemeral-ports on a host
version_added: 1.0.0
description:
  - Builds one file from the code with which this collection observes hosts, and copies it. The command says in words
    which destinations use up the ephemeral ports of the host, as JSON, or as metrics for Prometheus.
  - The file needs Python 3.6 and nothing else. It is owned by root, with mode 0755.
  - The role C(netops.ephemeral_ports.timewait_monitor) runs it by a timer.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  path:
    description: Where the command is to be.
    type: path
    required: true
  interpreter:
    description: The Python of the host that runs it, an absolute path.
    type: str
    default: /usr/bin/python3
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.action
  - netops.ephemeral_ports.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Says that the file differs. It is compressed, so that its text is not shown.
  idempotent:
    support: full
seealso:
  - module: netops.ephemeral_ports.port_usage_info
"""

EXAMPLES = r"""
- name: Have the verdict at hand on each host
  netops.ephemeral_ports.monitor_command:
    path: /usr/local/bin/ephemeral-ports
  become: true
"""

RETURN = r"""
dest:
  description: Where the command is.
  type: str
  returned: success
  sample: /usr/local/bin/ephemeral-ports
"""

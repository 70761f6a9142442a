#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: monitor_command
short_description: Install the command ephemeral-ports on a host
version_added: 1.0.0
description:
  - Builds one file from the code with which this collection observes hosts, and installs it. The command says in words
    which destinations use up the ephemeral ports of the host, as JSON, or as metrics for Prometheus.
  - The file needs Python 3.6 and nothing else. It is owned by root, with mode 0755.
  - It holds its sources, and beside them what O(interpreter) makes of them, so that no run has to compile them. Another
    Python, or the same after an upgrade, takes the sources, until this module runs again.
  - The role C(netops.ephemeral_ports.timewait_monitor) runs it by a timer.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  path:
    description: Where the command is to be.
    type: path
    required: true
  interpreter:
    description: The Python of the host that runs it, an absolute path. It has to be there, in check mode too.
    type: str
    default: /usr/bin/python3
  application:
    description: The sources, packed. The collection gives them; a task cannot.
    type: str
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.action
  - netops.ephemeral_ports.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Says that the file differs, and its size. It is compressed, so that its text is not shown.
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
kind:
  description: Which kind of result this is, always V(command).
  type: str
  returned: success
  sample: command
path:
  description: Where the command is.
  type: str
  returned: success
  sample: /usr/local/bin/ephemeral-ports
size:
  description: How many bytes the file has.
  type: int
  returned: success
  sample: 412345
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._usage.watch.install import install

ARGUMENTS: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "interpreter": {"type": "str", "default": "/usr/bin/python3"},
    "application": {"type": "str", "no_log": True},  # so that no answer sends it back
}


def main() -> None:
    shell.run(ARGUMENTS, install, supports_check_mode=True)


if __name__ == "__main__":
    main()

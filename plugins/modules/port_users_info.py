#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: port_users_info
short_description: Report which programs of a host connect to where, and whose connects find no local port
version_added: 1.0.0
description:
  - Traces for some seconds which program calls connect(), in which container, pod or unit, to which destination, how
    often, and how many of these connects fail for want of a local port (EADDRNOTAVAIL).
  - All network namespaces of the host are traced in one pass. M(netops.ephemeral_ports.port_usage_info) says which
    destinations run out; this module says because of whom. A socket in TIME_WAIT has no owner any more, so that no
    dump of sockets can tell.
  - It reads the tracepoint C(sock:inet_sock_set_state) (Linux 4.16) through tracefs, in an instance of its own. The
    kernel filters, so that only connects cost something. Others who trace on the host are not disturbed. Where tracefs
    is not mounted, it is mounted for this module alone. The instance is removed at the end, also when the module is
    terminated; of one that was killed the kernel switches it off, and the next run removes it.
  - A host that cannot trace is no failure; RV(why_not) says why it cannot.
  - Needs root (CAP_SYS_ADMIN) of the host itself. Nothing is changed.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  seconds:
    description:
      - How long to trace, more than 0 and at most 300. It ends earlier after 200000 events.
    type: float
    default: 5
  max_users:
    description:
      - How many users to return, those whose connects fail first, then those that connect most; at most 1000.
    type: int
    default: 20
  namespaces:
    description:
      - Inodes of the network namespaces whose connects count, as M(netops.ephemeral_ports.port_usage_info) returns
        them. None means all. A process that ended at once, whose namespace nobody knows, then does not count.
    type: list
    elements: int
    default: []
notes:
  - Connects of a socket that called bind() before are counted, but of those none is told to fail for want of a port. A
    bind() that finds no port is not seen.
  - A process that ends within some milliseconds of its connect() is named, but whose it was is then not known.
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.reads
  - netops.ephemeral_ports.attributes.action_group
attributes:
  check_mode:
    details: Nothing is traced in check mode, as RV(why_not) says.
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - plugin: netops.ephemeral_ports.describe
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find who connects, and who finds no local port
  netops.ephemeral_ports.port_users_info:
    seconds: 10
  register: users
  become: true

- name: Describe it
  ansible.builtin.debug:
    msg: "{{ users | netops.ephemeral_ports.describe }}"

- name: Name the programs that fail
  ansible.builtin.debug:
    msg: "{{ item.program }} of {{ item.owner }} failed {{ item.no_port }} times"
  loop: "{{ users.users | selectattr('no_port') }}"
"""

RETURN = r"""
kind:
  description: What this result is, V(users).
  type: str
  returned: success
  sample: users
traced:
  description: Whether anything was traced.
  type: bool
  returned: success
  sample: true
why_not:
  description: Why nothing was traced, in words, or null.
  type: str
  returned: success
  sample: null
seconds:
  description: For how long.
  type: float
  returned: success
  sample: 5.0
complete:
  description: Whether nothing was lost, and the trace did not end before its time.
  type: bool
  returned: success
  sample: true
lost:
  description: Events that the kernel, or this module, had no room for. No user is known of them.
  type: int
  returned: success
  sample: 0
connects:
  description: How many connects there were, on the whole host or in O(namespaces), also those that failed.
  type: int
  returned: success
  sample: 2310
no_port:
  description: How many of them found no local port.
  type: int
  returned: success
  sample: 410
users_found:
  description: How many users there are, also beyond O(max_users).
  type: int
  returned: success
  sample: 3
users:
  description:
    - Programs with the destination that they connect to, those whose connects fail first. Processes of the same
      program, owner and namespace are one user.
  type: list
  elements: dict
  returned: success
  contains:
    program:
      description: Name of the process, at most 15 characters, as C(/proc/PID/comm) has it.
      type: str
    owner:
      description:
        - The container, pod or unit that it is in, such as V(podman web), V(docker web), V(pod shop/web-1 (app\)),
          V(unit nginx.service), V(machine db) or V(lxc web), or null.
      type: str
    namespace:
      description: Inode of its network namespace, or null where the process had ended.
      type: int
    pid:
      description: The process that connects most, by its number on the host.
      type: int
    processes:
      description: How many processes there were.
      type: int
    address:
      description: Address that it connects to.
      type: str
    port:
      description: Port that it connects to.
      type: int
    connects:
      description: How many connects, also those that failed.
      type: int
    no_port:
      description: How many of them found no local port.
      type: int
    rate:
      description: Connects per second.
      type: float
  sample:
    - program: php-fpm
      owner: podman web
      namespace: 4026532281
      pid: 4711
      processes: 12
      address: 192.0.2.10
      port: 8080
      connects: 2110
      no_port: 410
      rate: 422.0
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._trace.users import observe_users

ARGUMENTS: Dict[str, Any] = {
    "seconds": {"type": "float", "default": 5},
    "max_users": {"type": "int", "default": 20},
    "namespaces": {"type": "list", "elements": "int", "default": []},
}


def run(options: Dict[str, Any], check: bool) -> Dict[str, Any]:
    return observe_users(options["seconds"], options["max_users"], check, options["namespaces"])


def main() -> None:
    shell.run(ARGUMENTS, run, supports_check_mode=True)


if __name__ == "__main__":
    main()

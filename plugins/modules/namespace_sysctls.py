#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: namespace_sysctls
short_description: Set running values in network namespaces of containers, pods and others, in one transaction
version_added: 1.0.0
description:
  - Sets sysctls in other network namespaces of a host, from the host. It enters each of them, and writes through the
    C(/proc/sys) of the host, so that it does not matter that a container sees its own read-only.
  - All that are named are set, or none is. A journal on the host keeps how things were before. If a run is killed, the
    next one first rolls back what it left half done.
  - What is set does not last. It ends with the network namespace, as when a container is started anew or the host is
    booted. The owner in the result says where it would be set to last.
  - What an earlier run has set in a namespace that is no longer named is rolled back in the same transaction, and so is
    a key that is no longer named. What somebody else has set since stays.
  - Ports are reserved before C(ip_local_port_range) is widened over them.
  - Needs root of the host itself.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  namespaces:
    description:
      - The network namespaces, and what to set in each, with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Its name, as O(netops.ephemeral_ports.port_usage_info#module:namespaces) takes it. A name that none has is
            an error that lists those that there are.
        type: str
      inode:
        description:
          - Its inode, as M(netops.ephemeral_ports.port_usage_info) tells it. Where it has ended
            since, nothing is set in it.
        type: int
      cookie:
        description:
          - The kernel's cookie of it, which tells it from a later one with the same inode.
        type: int
      settings:
        description:
          - The keys and their values. Only keys of which each network namespace has its own can be set, those of
            RV(netops.ephemeral_ports.port_usage_info#module:sysctls).
        type: dict
        default: {}
  state:
    description:
      - V(present) sets the values. V(absent) rolls all of them back, wherever the namespace still is.
    type: str
    choices: [present, absent]
    default: present
  keys:
    description:
      - With O(state=absent), roll back these keys alone.
    type: list
    elements: str
  asked_ports:
    description:
      - Those ports of C(ip_local_reserved_ports) that somebody has asked for by name, as of
        M(netops.ephemeral_ports.sysctl_dropin).
    type: str
  state_dir:
    description:
      - The directory of the journal, as of M(netops.ephemeral_ports.sysctl_dropin).
    type: path
    default: /var/lib/netops.ephemeral_ports
  lock_timeout:
    description:
      - For how many seconds to wait for another run with the same O(state_dir), and for one that sets running values of
        one of these namespaces.
    type: int
    default: 30
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.sets
  - netops.ephemeral_ports.attributes.action_group
attributes:
  diff_mode:
    details: Shows the running values of each namespace.
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - module: netops.ephemeral_ports.remediation
    description: Decides what to set, and names the lasting way.
  - module: netops.ephemeral_ports.sysctl_dropin
    description: Sets what lasts, for the host itself.
"""

EXAMPLES = r"""
- name: Let a container reuse ports in TIME_WAIT at once, until it is started anew
  netops.ephemeral_ports.namespace_sysctls:
    namespaces:
      - name: podman web
        settings:
          net.ipv4.tcp_tw_reuse: 1

- name: Roll back what was set in any namespace
  netops.ephemeral_ports.namespace_sysctls:
    state: absent
"""

RETURN = r"""
kind:
  description: Which kind of result this is, always V(namespace_apply).
  type: str
  returned: success
  sample: namespace_apply
namespaces:
  description: What became of each network namespace that was named, or in which an earlier run has set something.
  type: list
  elements: dict
  returned: success
  contains:
    namespace:
      description: Which one it is, as M(netops.ephemeral_ports.port_usage_info) says it.
      type: dict
      sample:
        own: false
        inode: 4026532345
        cookie: 4711
        name: null
        owner: {kind: podman, name: web, id: 3f2c1d0e9b8a, container: null}
        pid: 4242
        program: nginx
    status:
      description:
        - V(changed), V(unchanged), V(rolled_back) (it is no longer named), or V(gone) (the namespace has ended, and
          what was set in it with it; there is nothing to do).
      type: str
      sample: changed
    settings:
      description:
        - The result for each key. C(wanted) is null where the key is rolled back. C(status) is V(changed),
          V(unchanged), V(restored) (rolled back), V(kept) (not rolled back, because somebody else has since changed it,
          or because the kernel refuses the value), or V(skipped) (the key is not there any more).
      type: list
      elements: dict
      sample:
        - {key: net.ipv4.tcp_tw_reuse, wanted: "1", before: "2", after: "1", status: changed}
recovered:
  description: Whether an earlier run had been interrupted and was rolled back first.
  type: bool
  returned: success
  sample: false
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._dropin.journal import STATE_DIR
from ..module_utils._dropin.namespace_run import run

NAMESPACE: Dict[str, Any] = {
    "name": {"type": "str"},
    "inode": {"type": "int"},
    "cookie": {"type": "int"},
    "settings": {"type": "dict", "default": {}},
}
ARGUMENTS: Dict[str, Any] = {
    "namespaces": {"type": "list", "elements": "dict", "options": NAMESPACE},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "keys": {"type": "list", "elements": "str", "no_log": False},
    "asked_ports": {"type": "str"},
    "state_dir": {"type": "path", "default": STATE_DIR},
    "lock_timeout": {"type": "int", "default": 30},
}


def main() -> None:
    shell.run(ARGUMENTS, run, supports_check_mode=True)


if __name__ == "__main__":
    main()

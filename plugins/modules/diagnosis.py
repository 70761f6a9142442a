#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# The documentation of plugins/action/diagnosis.py, which is where ansible-doc looks for it.

DOCUMENTATION = r"""
---
module: diagnosis
short_description: Say which destinations use up the ephemeral ports of a host, in one task
version_added: 1.0.0
description:
  - Observes the host with M(netops.ephemeral_ports.port_usage_info), and on request who connects with
    M(netops.ephemeral_ports.port_users_info), says what was found in the terminal, and fails where it was asked to.
  - One task, where these steps by themselves take three. The role C(netops.ephemeral_ports.timewait_diagnose) consists
    of it.
  - Where the stdout callback is made for programs, as C(ansible.posix.json) is, nothing is said but the result.
  - C(module_defaults) of the two modules do not reach it; its own do.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  who:
    description:
      - For how many seconds to trace who connects, as of M(netops.ephemeral_ports.port_users_info). 0 traces nothing.
      - On the whole host; where O(observe) names network namespaces, in these and the own one.
    type: float
    default: 0
  fail_at:
    description:
      - Fail at this RV(level) or above, with what was found in words. The whole result is then in C(invocation), which
        Ansible prints from C(-vvv) on, and which the report takes in.
    type: str
    choices: [never, warning, critical, exhausted]
    default: never
  observe:
    description:
      - Options of M(netops.ephemeral_ports.port_usage_info). One that is null is left out.
    type: dict
    default: {}
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.reads
  - netops.ephemeral_ports.attributes.action
  - netops.ephemeral_ports.options.variables
  - netops.ephemeral_ports.options.timeout
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - module: netops.ephemeral_ports.port_users_info
"""

EXAMPLES = r"""
- name: Say which destinations are short of ports
  netops.ephemeral_ports.diagnosis:

- name: Stop where one has less than half of its ports left, or a connect of these five seconds found none
  netops.ephemeral_ports.diagnosis:
    observe:
      destination: 192.0.2.10:8080
    who: 5
    fail_at: critical
"""

RETURN = r"""
kind:
  description: Which kind of result this is, always V(diagnosis).
  type: str
  returned: success
  sample: diagnosis
level:
  description:
    - The level of RV(usage), and V(exhausted) where RV(users) has a connect that found no port.
  type: str
  returned: success
  sample: ok
usage:
  description: What M(netops.ephemeral_ports.port_usage_info) returned.
  type: dict
  returned: success
users:
  description: What M(netops.ephemeral_ports.port_users_info) returned, null without O(who).
  type: dict
  returned: success
lines:
  description: What was said.
  type: list
  elements: str
  returned: success
"""

#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# The documentation of plugins/action/remediation.py, which is where ansible-doc looks for it.

DOCUMENTATION = r"""
---
module: remediation
short_description: Give a host enough ephemeral ports, in one task
version_added: 1.0.0
description:
  - Observes the host with M(netops.ephemeral_ports.port_usage_info), decides as
    P(netops.ephemeral_ports.remediation_plan#filter) does, renders a sysctl.d file from a template, and applies it with
    M(netops.ephemeral_ports.sysctl_dropin).
  - On request it sets running values of other network namespaces too, by M(netops.ephemeral_ports.namespace_sysctls).
  - Costs two module calls, three where other network namespaces are set, and one task where these steps by themselves
    take three. The role C(netops.ephemeral_ports.timewait_remediate) consists of it.
  - Says in the terminal what was decided, why, and what changed. Where the stdout callback is made for programs, as
    C(ansible.posix.json) is, nothing is said but the result.
  - Where the plan sets nothing, nothing is applied, and what an earlier run has set is rolled back.
  - C(module_defaults) of the two modules do not reach it; its own do.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  policy:
    description:
      - What you want of each setting, as the filter P(netops.ephemeral_ports.remediation_plan#filter) takes it. What is
        left out is decided from what the host has. It is checked before the host is observed.
    type: dict
    default: {}
  namespaces:
    description:
      - Other network namespaces of the host in which running values are set too, by the same policy, each by a plan of
        its own. Names as O(netops.ephemeral_ports.port_usage_info#module:namespaces) takes them. A name that none has
        is an error before anything is changed.
      - What is set there does not last; RV(namespaces[].lasting_way) says how it would. What an earlier run has set in
        one that is not named any more is rolled back.
      - Cannot be used with O(trial).
    type: list
    elements: str
    default: []
  template:
    description:
      - The template of the file, on the controller, found where M(ansible.builtin.template) finds one.
      - It gets the plan as C(remediation_plan); C(remediation_plan.dropin) lists the settings.
    type: str
    required: true
  on_refused:
    description:
      - What to do when the plan refuses a value that O(policy) names, not V(auto), such as a range that would narrow
        that of an administrator. V(fail) fails before anything is changed. V(warn) warns and applies the rest.
    type: str
    choices: [fail, warn]
    default: fail
  on_error:
    description:
      - What to do when observing, the template or the apply fails.
      - V(fail) fails the task. What was observed and decided until then is in C(invocation) of the result, which
        Ansible prints from C(-vvv) on, and which the report takes in. V(return) returns it with the error as
        RV(error), so that a later task can fail with it.
    type: str
    choices: [fail, return]
    default: fail
  path:
    description:
      - The file, C(/etc/sysctl.d/99-zz-ephemeral-ports.conf) unless you name another.
    type: str
  on_conflict:
    description:
      - What to do when a value would not survive a reboot, as of M(netops.ephemeral_ports.sysctl_dropin).
    type: str
    choices: [fail, warn, ignore]
  state_dir:
    description:
      - The directory of the journal, as of M(netops.ephemeral_ports.sysctl_dropin).
    type: str
  lock_timeout:
    description:
      - For how many seconds to wait for another run, as of M(netops.ephemeral_ports.sysctl_dropin).
    type: int
  trial:
    description:
      - Whether a change is on trial until it is confirmed, as of M(netops.ephemeral_ports.sysctl_dropin).
    type: bool
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.sets
  - netops.ephemeral_ports.attributes.action
  - netops.ephemeral_ports.options.variables
  - netops.ephemeral_ports.options.timeout
  - netops.ephemeral_ports.attributes.action_group
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - module: netops.ephemeral_ports.sysctl_dropin
  - module: netops.ephemeral_ports.namespace_sysctls
  - plugin: netops.ephemeral_ports.remediation_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Give the host enough ephemeral ports
  netops.ephemeral_ports.remediation:
    template: 99-zz-ephemeral-ports.conf.j2

# templates/99-zz-ephemeral-ports.conf.j2
#
# {% for setting in remediation_plan.dropin %}
# {{ setting.key }} = {{ setting.wanted }}
# {% endfor %}

- name: Set a container and a pod too, until they are started anew
  netops.ephemeral_ports.remediation:
    template: 99-zz-ephemeral-ports.conf.j2
    namespaces: [podman web, shop/web-1]

- name: Predict the settings with node ports reserved, without an error where another file decides
  netops.ephemeral_ports.remediation:
    template: 99-zz-ephemeral-ports.conf.j2
    policy:
      reserve: [30000-32767]
    on_conflict: warn
  check_mode: true
"""

RETURN = r"""
kind:
  description: Which kind of result this is, always V(remediation).
  type: str
  returned: success
  sample: remediation
usage:
  description: What M(netops.ephemeral_ports.port_usage_info) returned, with the most loaded destination only.
  type: dict
  returned: success, null where the host could not be observed
plan:
  description: What P(netops.ephemeral_ports.remediation_plan#filter) decided from it.
  type: dict
  returned: success, null where the host could not be observed
applied:
  description: What M(netops.ephemeral_ports.sysctl_dropin) returned.
  type: dict
  returned: success, null where there was nothing to set, or something failed
namespaces:
  description: The plan for each of the other network namespaces, O(namespaces).
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
    plan:
      description: What P(netops.ephemeral_ports.remediation_plan#filter) decided for it.
      type: dict
    lasting_way:
      description:
        - Nothing of it lasts. This says where the owner of the namespace sets it for ever, with lines to paste.
      type: str
      sample: |-
        Give them to the container when it is made; they then stay over restarts:
          docker run --name web --sysctl net.ipv4.tcp_tw_reuse=1 IMAGE
namespaces_applied:
  description: What M(netops.ephemeral_ports.namespace_sysctls) returned.
  type: dict
  returned: success, null where nothing was to be set there
check_mode:
  description: Whether this is a prediction.
  type: bool
  returned: success
  sample: false
error:
  description: What went wrong, null where nothing did.
  type: str
  returned: always, but for a failure with O(on_error=fail)
  sample: null
"""

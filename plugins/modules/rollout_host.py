#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# The documentation of plugins/action/rollout_host.py, which is where ansible-doc looks for it.

DOCUMENTATION = r"""
---
module: rollout_host
short_description: Take a step of a rollout on a host
version_added: 1.0.0
description:
  - The role C(netops.ephemeral_ports.timewait_rollout) consists of it, and is the usual way to use it.
  - Each step returns the outcome of the host so far. Register every step as C(timewait_rollout_outcome), where the
    next step finds it; a skipped task would overwrite it.
  - V(apply) and V(judge) do not fail for what goes wrong on a host. RV(state) is then V(failed), and RV(reason) says
    why, so that the wave can be judged by all of its hosts. V(observe), V(settle), V(confirm) and V(revert) fail, and
    have the outcome in C(invocation) then.
  - What a host returns is checked before it is used, and a host whose facts set variables of this collection has
    failed.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  step:
    description:
      - V(check) checks O(waves) and nothing else, and fails where they cannot be used. It needs no host.
      - V(observe) observes the host, decides whether it needs a change, and puts it into the group
        C(timewait_rollout_STATE), where STATE is its RV(state). It changes nothing.
      - V(apply) observes again and applies, on trial. In check mode it only notes the wave.
      - V(judge) observes after the soak, and compares with before. It does nothing where O(verdict) has failed.
      - V(verdict) decides from the outcomes of its hosts whether the wave may stay. It needs no host; run it once.
      - V(settle) is V(confirm) where O(verdict) has passed, else V(revert).
      - V(confirm) confirms the change, so that it stays.
      - V(revert) rolls the host back to before its wave, where a change is on trial.
    type: str
    choices: [check, observe, apply, verdict, judge, settle, confirm, revert]
    required: true
  remediation:
    description:
      - The options C(policy), C(template), C(path), C(on_conflict), C(state_dir) and C(lock_timeout) of
        M(netops.ephemeral_ports.remediation). One that is null counts as left out, and so does a part of the policy.
      - Without C(template), the drop-in of the role C(netops.ephemeral_ports.timewait_remediate) is used.
      - For V(observe), V(apply), V(judge), V(settle), V(confirm) and V(revert).
    type: dict
    default: {}
  limits:
    description:
      - How much worse it may get. C(growth), C(floor), C(ignore_listeners), C(soak) and C(baseline) are what the
        variables C(timewait_rollout_*) of the role are; these times are only checked.
      - C(on_conflict) says whether values may fail to survive a reboot, as in O(remediation).
      - For V(judge); V(observe) checks them early.
    type: dict
    default: {}
  wave:
    description:
      - C(number) of the wave, and the C(hosts) that began it.
      - For V(apply) and V(verdict).
    type: dict
  verdict:
    description:
      - What the step V(verdict) has returned.
      - For V(judge), V(settle), V(confirm) and V(revert).
    type: dict
  soak:
    description:
      - What the task returned that let the wave soak. Where it failed, so has the host.
      - For V(judge).
    type: dict
  waves:
    description:
      - The sizes of the waves, as C(serial) of a play takes them. Ansible itself would take V(0) or V(200%) for the
        whole fleet.
      - For V(check).
    type: raw
  timeout:
    description:
      - For how many seconds to wait for the host, which has failed then. 0 sets no limit.
      - Where the keyword C(timeout) of the task, or C(task_timeout), is shorter, that one counts.
    type: int
    default: 300
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.sets
  - netops.ephemeral_ports.attributes.action
  - netops.ephemeral_ports.options.variables
  - netops.ephemeral_ports.attributes.action_group
seealso:
  - module: netops.ephemeral_ports.remediation
  - module: netops.ephemeral_ports.sysctl_dropin
"""

EXAMPLES = r"""
- name: Observe the host and predict what a rollout would change
  netops.ephemeral_ports.rollout_host:
    step: observe
  register: timewait_rollout_outcome

- name: Describe it
  ansible.builtin.debug:
    msg: "{{ timewait_rollout_outcome | netops.ephemeral_ports.describe }}"
"""

RETURN = r"""
state:
  description:
    - The outcome of the host, V(unchanged), V(pending), V(changed), V(rolled_back) or V(failed).
    - A host is V(pending) from V(observe) until V(judge).
  type: str
  returned: all steps but V(check) and V(verdict)
  sample: changed
reason:
  description: Why, in words; null where there is nothing to explain.
  type: str
  returned: all steps but V(check)
  sample: null
wave:
  description: The number of the wave; null for a host that had no turn.
  type: int
  returned: all steps but V(check)
  sample: 1
not_curable:
  description: Why sysctls cannot fix this host; null where they can, or where nothing is wrong.
  type: str
  returned: all steps but V(check) and V(verdict)
  sample: null
gate:
  description:
    - Of V(judge), C(passed) and C(checks), each with C(id), C(status) (V(passed), V(failed) or V(unknown)), C(message)
      and C(evidence). Null before.
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample:
    passed: true
    checks:
      - id: failed-connects
        status: passed
        message: 3 connects failed while 18012 were opened, before the change 2 of 9140.
        evidence:
          before: {seconds: 31.2, opened: 9140, count: 2}
          after: {seconds: 61.4, opened: 18012, count: 3}
          allowed: 24
kind:
  description: What kind of result this is.
  type: str
  returned: all steps but V(check) and V(verdict)
  sample: outcome
step:
  description: The step.
  type: str
  returned: all steps but V(check) and V(verdict)
  sample: confirm
check_mode:
  description: Whether the run is one of check mode.
  type: bool
  returned: all steps but V(check) and V(verdict)
  sample: false
first:
  description: What M(netops.ephemeral_ports.port_usage_info) returned for V(observe).
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: {kind: usage, level: ok}
before:
  description: What it returned for V(apply), right before the change.
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: {kind: usage, level: ok}
after:
  description: What it returned for V(judge).
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: {kind: usage, level: ok}
plan:
  description: What P(netops.ephemeral_ports.remediation_plan#filter) decided from RV(first), and then from RV(before).
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: {kind: plan}
applied:
  description: What M(netops.ephemeral_ports.sysctl_dropin) returned. Of V(observe) it is a prediction.
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: {kind: apply, changed: true, file: created}
reverted:
  description: What it returned for V(revert).
  type: dict
  returned: all steps but V(check) and V(verdict)
  sample: null
end:
  description: Of V(confirm) and V(revert), why the rollout ends with the wave of this host; null where it goes on.
  type: str
  returned: all steps but V(check) and V(verdict)
  sample: null
passed:
  description: Whether the wave may stay.
  type: bool
  returned: step V(verdict)
  sample: true
hosts_failed:
  description: The hosts that failed.
  type: list
  elements: str
  returned: step V(verdict)
  sample: []
hosts_lost:
  description: The hosts that left the play during the wave.
  type: list
  elements: str
  returned: step V(verdict)
  sample: []
waves:
  description: The sizes, as text.
  type: list
  elements: str
  returned: step V(check)
  sample: ["1", "10%", "100%"]
"""

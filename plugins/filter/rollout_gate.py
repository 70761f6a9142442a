# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_gate: whether a host is as well after a change as it was before."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_gate
short_description: Judge a host after a change by three looks at it
version_added: 0.1.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - Compares looks of M(netops.ephemeral_ports.port_usage_info) (with C(detail=full)) from before and after a change.
  - The values that were set are in force and will be at boot, no service has lost its listener, failed connects, SYNs
    sent again and packets dropped by PAWS have not grown, and ports are taken over early where the load shows it.
  - What is counted is compared per connection opened, with the host's own share between the first two looks. What is
    chance is allowed for (Poisson, three standard deviations).
  - A check for which too little is known has the status V(unknown), which does not fail the gate.
  - A pure function of its input.
positional: wave
options:
  _input:
    description: The outcome of the host so far, from P(netops.ephemeral_ports.rollout_outcome#filter).
    type: dict
    required: true
  wave:
    description: The number of the wave.
    type: int
    required: true
  first:
    description: An early look.
    type: dict
    required: true
  before:
    description: The look right before the change.
    type: dict
    required: true
  applied:
    description: What M(netops.ephemeral_ports.sysctl_dropin) returned.
    type: dict
    required: true
  after:
    description: The look after the soak. One that says C(unreachable) fails the host.
    type: dict
    required: true
  limits:
    description: How much worse is worse; everything in it may be left out.
    type: dict
    default: {}
    suboptions:
      growth:
        description: The share of failures before the change may grow by this factor, a number of 1 or more.
        type: raw
        default: 2
      floor:
        description: That many failures are never too many, a whole number.
        type: raw
        default: 5
      ignore_listeners:
        description: Ports of services that come and go, as numbers or ranges such as V(30000-30010).
        type: list
        elements: raw
        default: []
      conflicts_allowed:
        description: Whether it is accepted that values do not survive a reboot.
        type: bool
        default: false
      soak:
        description: The length of the soak in seconds, a whole number. It is only checked.
        type: raw
        default: 0
      baseline:
        description: The least time before the change in seconds. It is only checked.
        type: raw
        default: 0
seealso:
  - plugin: netops.ephemeral_ports.rollout_outcome
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Judge the host
  ansible.builtin.set_fact:
    outcome: >-
      {{ outcome | netops.ephemeral_ports.rollout_gate(1, first=first, before=before, applied=applied, after=after) }}
"""

RETURN = r"""
_value:
  description:
    - The outcome. C(state) is V(changed) or V(failed), C(reason) says why it failed, and C(gate) has C(passed) and
      C(checks), each with C(id), C(status) (V(passed), V(failed) or V(unknown)), C(message) and C(evidence).
  type: dict
  sample:
    state: changed
    reason: null
    wave: 1
    not_curable: null
    gate:
      passed: true
      checks:
        - id: failed-connects
          status: passed
          message: 3 connects failed while 18012 were opened, before the change 2 of 9140.
          evidence:
            before: {seconds: 31.2, opened: 9140, count: 2}
            after: {seconds: 61.4, opened: 18012, count: 3}
            allowed: 24
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def rollout_gate(
    outcome: Mapping[str, Any],
    wave: int,
    *,
    first: Mapping[str, Any],
    before: Mapping[str, Any],
    applied: Mapping[str, Any],
    after: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    # Ansible loads all filters of a collection for a task that uses one, in a process of its own for each host.
    from ..plugin_utils._rollout import outcome as rollout_outcome
    from ..plugin_utils._rollout.gate import read_limits

    try:
        return rollout_outcome.judged(outcome, int(wave), first, before, applied, after, read_limits(limits or {}))
    except ValueError as error:
        raise AnsibleFilterError(f"rollout_gate: {error}") from error


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_gate": rollout_gate}

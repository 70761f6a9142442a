# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_outcome: what a rollout has to do on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_outcome
short_description: Tell what a rollout has to do on a host, and what sysctls cannot cure there
version_added: 0.1.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - A host is V(pending) where applying would change something, or where an earlier rollout has applied and was not able
    to judge. Any other is V(unchanged) and need not be touched.
  - Says besides why the planned sysctls would not cure the host, where that shows. Open connections alone take half of
    the ports that there will be, the present rate needs more ports than there will be, or clients bind() before they
    connect().
  - A pure function of its input.
positional: plan, predicted, limits
options:
  _input:
    description: What M(netops.ephemeral_ports.port_usage_info) returned with C(detail=full).
    type: dict
    required: true
  plan:
    description: What P(netops.ephemeral_ports.remediation_plan#filter) made of it.
    type: dict
    required: true
  predicted:
    description: What M(netops.ephemeral_ports.sysctl_dropin) returned in check mode, with C(trial=true).
    type: dict
    required: true
  limits:
    description: What O(netops.ephemeral_ports.rollout_gate#filter:limits) will be; it is checked here, early.
    type: dict
    default: {}
seealso:
  - plugin: netops.ephemeral_ports.rollout_gate
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Classify the host
  ansible.builtin.set_fact:
    outcome: "{{ usage | netops.ephemeral_ports.rollout_outcome(plan, predicted) }}"
"""

RETURN = r"""
_value:
  description:
    - The outcome so far. C(state) is V(pending) or V(unchanged), C(reason) says more, C(wave) and C(gate) are null, and
      C(not_curable) says why sysctls cannot cure this host, null where they can or where nothing is wrong.
  type: dict
  sample: {state: pending, reason: null, wave: null, not_curable: null, gate: null}
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def rollout_outcome(
    usage: Mapping[str, Any],
    plan: Mapping[str, Any],
    predicted: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    # Ansible loads all filters of a collection for a task that uses one, in a process of its own for each host.
    from ..plugin_utils._rollout import outcome
    from ..plugin_utils._rollout.gate import read_limits

    try:
        read_limits(limits or {})
        return outcome.foresee(usage, plan, predicted)
    except ValueError as error:
        raise AnsibleFilterError(f"rollout_outcome: {error}") from error


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_outcome": rollout_outcome}

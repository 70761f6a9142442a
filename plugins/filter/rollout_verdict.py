# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_verdict: whether a wave may stay."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_verdict
short_description: Tell whether a wave of a rollout may stay
version_added: 0.1.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - A wave may stay where no host of it has failed or was lost on the way.
  - Meant to be called once per wave (C(run_once)). It looks at the fact C(timewait_rollout_outcome) of each host.
positional: wave, alive
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  wave:
    description: The hosts that began the wave.
    type: list
    elements: str
    required: true
  alive:
    description: Those of them that Ansible still has, C(ansible_play_batch).
    type: list
    elements: str
    required: true
seealso:
  - plugin: netops.ephemeral_ports.rollout_gate
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Judge the wave
  ansible.builtin.set_fact:
    verdict: "{{ hostvars | netops.ephemeral_ports.rollout_verdict(wave, ansible_play_batch) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The verdict, with the hosts that failed, those that were lost, and the reasons in words.
  type: dict
  sample: {passed: true, failed: [], lost: [], reason: null}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from ansible.utils.unsafe_proxy import wrap_var
except ImportError:  # gone where what hosts say is never a template
    wrap_var = None

_OUTCOME = "timewait_rollout_outcome"


def rollout_verdict(hostvars: Mapping[str, Any], wave: Sequence[str], alive: Sequence[str]) -> dict[str, Any]:
    # Ansible loads all filters of a collection for a task that uses one, in a process of its own for each host.
    from ..plugin_utils._rollout import outcome

    try:
        outcomes = {str(host): hostvars[host].get(_OUTCOME) for host in wave}
        verdict = outcome.wave_verdict(outcomes, [str(host) for host in alive])
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"rollout_verdict: this needs hostvars and two lists of hosts: {error!r}") from error
    # It quotes hosts. Before ansible-core 2.19 that would be run as a template when it is used.
    marked: dict[str, Any] = wrap_var(verdict) if wrap_var else verdict
    return marked


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_verdict": rollout_verdict}

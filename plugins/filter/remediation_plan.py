# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter remediation_plan: what to set on a host, and why."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remediation_plan
short_description: Decide which sysctls give a host enough ephemeral ports
version_added: 1.0.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - Decides from the result of M(netops.ephemeral_ports.port_usage_info) and a policy what to set, what to keep, what to
    refuse, and what the kernel does not support, with a reason for each.
  - A pure function of its input. It decides from the configuration of the host, not its load, so that a second run
    finds nothing to do. The one exception protects services. Ports that belong to others are reserved before the range
    can reach them.
  - It never narrows a range or drops a reservation of somebody else, and never asks for C(tcp_tw_recycle) unless the
    user does. What this collection itself has set
    (RV(netops.ephemeral_ports.port_usage_info#module:journal)) follows the policy.
  - For C(ip_local_port_range), C(ip_local_reserved_ports), C(tcp_tw_reuse) and C(tcp_timestamps), V(auto) lets the
    filter decide. V(leave) leaves the running value alone and the key out of the drop-in, except that a list of
    reserved ports is kept as it is. Any other value is what the user wants.
positional: policy
options:
  _input:
    description:
      - What M(netops.ephemeral_ports.port_usage_info) returned
        with O(netops.ephemeral_ports.port_usage_info#module:detail=full).
    type: dict
    required: true
  policy:
    description: What the user wants; everything in it may be left out.
    type: dict
    default: {}
    suboptions:
      ip_local_port_range:
        description:
          - V(auto) widens to C(10240 65535), of even size, and not below C(ip_unprivileged_port_start). Where a sysctl
            file of the host chose another range than the kernel's default, it is left as it is.
          - A value is two numbers such as V(20000 65535). One that would narrow the range of somebody else is refused.
        type: raw
        default: auto
      ip_local_reserved_ports:
        description:
          - V(auto) adds to the current list what sysctl files reserve, or mean to where the kernel refuses the line,
            the ports of listeners, node ports and published ports that the range reaches, and O(policy.reserve).
          - A value is a list such as V(8080,9000-9010). One that lacks a port that somebody else has reserved is
            refused.
        type: raw
        default: auto
      tcp_tw_reuse:
        description: V(auto) means V(1), provided that timestamps are on. A value is V(0), V(1) or V(2).
        type: raw
        default: auto
      tcp_timestamps:
        description: V(auto) switches timestamps on where they are V(0). A value is V(0), V(1) or V(2).
        type: raw
        default: auto
      tcp_tw_recycle:
        description:
          - V(0) switches it off. V(1) switches it on, where the kernel has it (up to Linux 4.11) and
            O(policy.accept_risk) names it. On other kernels it is neither an error nor a change.
        type: raw
        default: leave
      reserve:
        description: Ports to reserve besides those that are found, as numbers or ranges such as V(30000-32767).
        type: list
        elements: raw
        default: []
      do_not_reserve:
        description:
          - Ports that V(auto) does not reserve, whatever was found there. What is reserved already stays so.
        type: list
        elements: raw
        default: []
      accept_risk:
        description:
          - Names of risks that are accepted, V(tcp_tw_recycle), and V(fewer_ports) for a list that leaves fewer usable
            ports than there are today.
        type: list
        elements: str
        default: []
  path:
    description:
      - The drop-in that is to carry the settings. What it says is not taken for the choice of somebody else.
    type: str
    default: /etc/sysctl.d/99-zz-ephemeral-ports.conf
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - module: netops.ephemeral_ports.sysctl_dropin
"""

EXAMPLES = r"""
- name: Observe, with the services that listen
  netops.ephemeral_ports.port_usage_info:
    detail: full
  register: usage

- name: Show what would be set, and why
  ansible.builtin.debug:
    msg: "{{ usage | netops.ephemeral_ports.remediation_plan }}"

- name: Keep Kubernetes node ports out of the range, and leave timestamps alone
  ansible.builtin.debug:
    msg: "{{ usage | netops.ephemeral_ports.remediation_plan(policy) }}"
  vars:
    policy:
      reserve: [30000-32767]
      tcp_timestamps: leave
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    kind:
      description: V(plan).
      type: str
    settings:
      description:
        - A decision on each key, with C(key), C(current) (null where the kernel lacks it), C(wanted) (null where the
          drop-in shall not carry it), C(action) (V(set), V(keep), V(release), which rolls a key of ours back,
          V(refuse) or V(unsupported)), C(reason), and
          C(purpose) and C(parts) for the drop-in, which are the same in every run. C(parts) says what each part of a
          list is there for.
      type: list
      elements: dict
    dropin:
      description: Those settings that the drop-in carries.
      type: list
      elements: dict
    sustainable_rate:
      description:
        - New connections per second that one destination other than loopback can take for ever, C(before) and C(after),
          with the usable ports and the time in seconds for which a closed connection blocks its port.
      type: dict
  sample:
    kind: plan
    settings:
      - key: net.ipv4.tcp_tw_reuse
        current: "2"
        wanted: "1"
        action: set
        reason: A port is free again 1 s after its connection was closed, not 60 s, if the peer has TCP
          timestamps.
        purpose: Whether an outgoing connection may reuse a port that is in TIME_WAIT.
        parts: []
      - key: net.ipv4.tcp_tw_recycle
        current: null
        wanted: null
        action: unsupported
        reason: Linux 6.12 does not have it (removed in 4.12); tcp_tw_reuse does the work.
        purpose: 1 drops connections of clients behind NAT, 0 is safe.
        parts: []
    dropin:
      - key: net.ipv4.tcp_tw_reuse
        current: "2"
        wanted: "1"
        action: set
        reason: A port is free again 1 s after its connection was closed, not 60 s, if the peer has TCP
          timestamps.
        purpose: Whether an outgoing connection may reuse a port that is in TIME_WAIT.
        parts: []
    sustainable_rate:
      before: 470.5
      usable_before: 28232
      hold_seconds_before: 60.0
      after: 55296.0
      usable_after: 55296
      hold_seconds_after: 1.0
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def remediation_plan(
    usage: Mapping[str, Any], policy: Mapping[str, Any] | None = None, path: str | None = None
) -> Mapping[str, Any]:
    # Ansible loads all filters of a collection for a task that uses one, in a process of its own for each host.
    from ..module_utils._dropin.journal import DROPIN
    from ..plugin_utils._plan.plan import make_plan

    try:
        return make_plan(usage, policy or {}, path or DROPIN)
    except ValueError as error:
        raise AnsibleFilterError(f"remediation_plan: {error}") from error


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"remediation_plan": remediation_plan}

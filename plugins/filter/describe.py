# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter describe: what a result means, for a person."""

from __future__ import annotations

DOCUMENTATION = r"""
name: describe
short_description: Describe a result of this collection in plain words
version_added: 1.0.0
author:
  - netops.ephemeral_ports contributors (@netops)
description:
  - Describes a diagnosis, who connects, a plan, what was applied, a stress run, or the outcome of a host in a rollout,
    as lines of plain text without colours.
  - The verdict comes first, then the destinations and the numbers, then why, then the next step.
  - Lines are wrapped so that Ansible's default output can be read at 100 columns. The verdict is always one line.
  - A pure function of its input. Characters that could steer a terminal are replaced.
positional: check
options:
  _input:
    description:
      - What M(netops.ephemeral_ports.port_usage_info), M(netops.ephemeral_ports.port_users_info),
        M(netops.ephemeral_ports.sysctl_dropin), M(netops.ephemeral_ports.remediation),
        M(netops.ephemeral_ports.curl_stress), M(netops.ephemeral_ports.rollout_host) or
        P(netops.ephemeral_ports.remediation_plan#filter) returned.
      - The filter tells them apart by their field C(kind).
    type: dict
    required: true
  check:
    description:
      - Whether the result comes from check mode, so that it tells what would happen, not what has happened.
      - Matters for M(netops.ephemeral_ports.sysctl_dropin) only. The results of M(netops.ephemeral_ports.remediation)
        and M(netops.ephemeral_ports.rollout_host) name their mode themselves.
    type: bool
    default: false
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - module: netops.ephemeral_ports.port_users_info
  - module: netops.ephemeral_ports.sysctl_dropin
  - module: netops.ephemeral_ports.remediation
  - module: netops.ephemeral_ports.curl_stress
  - plugin: netops.ephemeral_ports.remediation_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Observe the ports of this host
  netops.ephemeral_ports.port_usage_info:
  register: usage

- name: Describe it
  ansible.builtin.debug:
    msg: "{{ usage | netops.ephemeral_ports.describe }}"

# ok: [client] => {
#     "msg": [
#         "CRITICAL: 400 of 500 local ports towards 198.18.0.1:8080 are blocked (80%).",
#         "  destination      blocked  usable  TIME_WAIT  live  saturation  level",
#         "  198.18.0.1:8080      400     500        400     0         80%  critical",
#         "Why:       A closed connection blocks its port for 60 s (tcp_tw_reuse is 2), so one",
#         "           destination takes at most 8.3 new connections per second. The half that",
#         "           connect() tries first is used up: it now takes milliseconds instead of",
#         "           microseconds.",
#         "Rate:      40 connections/s closed over the last 10 s, rising; at that rate exhausted in",
#         "           3 s.",
#         "Warning:   tcp_tw_reuse is 2, which covers 127.0.0.0/8 and ::1 only, not",
#         "           198.18.0.1:8080. Set it to 1; the role timewait_remediate does.",
#         "           (reuse-loopback-only)",
#         "Ports:     32768-33267, 500 of 500 usable (0 reserved, 0 held by bound sockets).",
#         "Next:      The role timewait_remediate frees ports after 1 s (tcp_tw_reuse) if the peer",
#         "           has TCP timestamps; better still, let the client keep its connections (HTTP",
#         "           keep-alive, a pool), or use more destination addresses.",
#         "           What would change on this host:",
#         "           ansible-playbook netops.ephemeral_ports.remediate --check --diff \\",
#         "             -i INVENTORY -l HOST"
#     ]
# }

- name: Roll back the drop-in
  netops.ephemeral_ports.sysctl_dropin:
    state: absent
  register: rollback

- name: Describe what was, or in check mode would be, rolled back
  ansible.builtin.debug:
    msg: "{{ rollback | netops.ephemeral_ports.describe(check=ansible_check_mode) }}"
"""

RETURN = r"""
_value:
  description: Lines of printable characters; the first one is the verdict.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils._text import describe


def _describe(result: object, check: bool = False) -> list[str]:
    try:
        return describe.describe(result, check=check)
    except ValueError as error:
        raise AnsibleFilterError(f"describe: {error}") from error


class FilterModule:
    """Filters that Ansible finds in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"describe": _describe}

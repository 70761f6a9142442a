#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: sysctl_dropin
short_description: Apply a sysctl.d file and its running values in one transaction
version_added: 1.0.0
description:
  - Writes a sysctl.d file and sets the running values of all keys in it, in one transaction. Afterwards file and
    running kernel agree, or both are as they were before.
  - A journal on the host keeps how things were before each change. If a run is killed, the next one first rolls back
    what it left half done.
  - The journal keeps the file and the running values from before the first run. O(state=absent) restores exactly those.
  - What others have decided since is respected. A running value, the content of the file, a line that another sysctl
    file has got or changed, and ports that somebody else has reserved stay.
  - Ports are reserved before C(ip_local_port_range) is widened over them.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  path:
    description:
      - The file, whose name must end in C(.conf). A link is followed and stays a link.
      - The default sorts late, because the last file wins where several set a key.
    type: path
    default: /etc/sysctl.d/99-zz-ephemeral-ports.conf
  content:
    description:
      - What the file shall contain, in the syntax of sysctl.d(5). Each line sets one key; patterns are refused.
      - A key that the kernel lacks is an error unless a C(-) stands before it. Then it is skipped. A value that the
        kernel refuses is an error in any case.
      - A key that an earlier run has set and that is no longer named is rolled back, alone and in the same transaction.
      - Required with O(state=present).
    type: str
  state:
    description:
      - V(present) writes the file and the running values.
      - V(absent) rolls both back to how they were before the first run. Without a journal nothing is changed.
        With O(trial=true) it rolls back only the change that is on trial, to how things were before it.
      - V(confirmed) ends the trial of a change, which stays. Neither file nor running values are touched.
      - What somebody else has changed since is left as it is and gets the status V(kept). If that is the content of the
        file, so are the running values of the keys that it sets; remove the file and run this again to roll back all.
      - A key whose earlier value the kernel refuses is kept too, with a warning that says why, and holds up no other.
        The journal keeps it, for another rollback once the cause is gone.
    type: str
    choices: [present, absent, confirmed]
    default: present
  keys:
    description:
      - With O(state=absent), roll back these keys alone, and take their lines and the comments right above them out of
        the file. All others stay applied. When not set, everything is rolled back.
      - Not possible while a change is on trial.
    type: list
    elements: str
  asked_ports:
    description:
      - With O(state=present), those ports of C(ip_local_reserved_ports) in O(content) that somebody has asked for by
        name. They are noted in the journal, where M(netops.ephemeral_ports.port_usage_info) finds them, so that they
        can be released once nobody asks for them any more. Nothing else depends on it.
    type: str
  trial:
    description:
      - With O(state=present), note in the journal that a change is on trial until a later run confirms it
        (O(state=confirmed), or O(state=present) without this option) or rolls it back (O(state=absent) with this
        option). Several changes on trial are one. Where nothing changes, nothing new is on trial.
      - Unlike the confirmed commit of network devices it has no timer, and a reboot does not end it. In this way a
        rollout remembers, on the host, what it has changed and not yet judged.
    type: bool
    default: false
  on_conflict:
    description:
      - What to do when a value would not survive a reboot, because another file decides, because no loader reads
        O(path), because O(path) is below C(/run) or C(/dev/shm), which a reboot empties, or because the loader, or a
        kernel before 5.2, takes only part of a long list. Found out by the rules of the programs of this host, in check
        mode too, before anything is changed.
      - V(fail) refuses, and names the key, the values, the line that decides, and the ways out. V(warn) goes on with
        warnings, V(ignore) without.
      - The loader is C(systemd-sysctl) where it is installed. What ufw, ifup, NetworkManager, cloud-init, tuned and
        C(rc.local) set after it, in this order, counts; so do the sysctl files that tuned applies once more. What only
        C(sysctl --system) would set otherwise, or cloud-init when an instance is new, is a warning.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  state_dir:
    description:
      - A directory for the journal and a lock. It is created with mode C(0700) when needed, and removed with the last
        journal. The directory above it must exist. One that other users can read gets mode C(0700).
      - It, its files and the directories above must belong to root, or to whoever runs this, and others must not be
        able to write them. Otherwise it is refused, as is a link, because a rollback writes what the journal says. Nor
        may it be below C(/run) or C(/dev/shm), which a reboot empties.
    type: path
    default: /var/lib/netops.ephemeral_ports
  lock_timeout:
    description:
      - For how many seconds to wait for another run with the same O(state_dir), and for one that sets running values of
        this network namespace. No other user can hold these locks.
    type: int
    default: 30
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.sets
  - netops.ephemeral_ports.attributes.action_group
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - plugin: netops.ephemeral_ports.remediation_plan
    plugin_type: filter
    description: Decides what should stand in the file.
"""

EXAMPLES = r"""
- name: Widen the range, but not over the service on 15432, and reuse ports in TIME_WAIT
  netops.ephemeral_ports.sysctl_dropin:
    content: |
      net.ipv4.ip_local_reserved_ports = 15432
      net.ipv4.ip_local_port_range = 10240 65535
      net.ipv4.tcp_tw_reuse = 1

- name: Set a key only where the kernel has it (Linux 6.14 and newer)
  netops.ephemeral_ports.sysctl_dropin:
    path: /etc/sysctl.d/99-zz-reuse-delay.conf
    content: |
      -net.ipv4.tcp_tw_reuse_delay = 500

- name: Change it on trial
  netops.ephemeral_ports.sysctl_dropin:
    content: |
      net.ipv4.tcp_tw_reuse = 1
    trial: true

- name: Confirm it
  netops.ephemeral_ports.sysctl_dropin:
    state: confirmed

- name: Roll one key back
  netops.ephemeral_ports.sysctl_dropin:
    state: absent
    keys: [net.ipv4.tcp_tw_reuse]

- name: Roll everything back
  netops.ephemeral_ports.sysctl_dropin:
    state: absent
"""

RETURN = r"""
kind:
  description: Which kind of result this is, always V(apply).
  type: str
  returned: success
  sample: apply
path:
  description: The file, with links followed.
  type: str
  returned: success
  sample: /etc/sysctl.d/99-zz-ephemeral-ports.conf
settings:
  description: The result for each key.
  type: list
  elements: dict
  returned: success
  contains:
    key:
      description: The name of the key.
      type: str
    wanted:
      description: The value asked for, null where the key is rolled back.
      type: str
    before:
      description: The running value before, null where the kernel has no such key.
      type: str
    after:
      description: The running value after, as read back.
      type: str
    status:
      description:
        - V(changed), V(unchanged), V(skipped) (the kernel lacks the key, and it is optional), V(restored) (rolled
          back), or V(kept) (not rolled back, because somebody else has since changed it, or the file that sets it, or
          because the kernel refuses the value; then there is a warning).
      type: str
    boot_value:
      description:
        - The value after a reboot as the kernel will print it, null where no file sets the key, or no loader is known.
      type: str
    boot_file:
      description: The file that decides this, null where there is none.
      type: str
    boot_line:
      description: The number of the line in that file.
      type: int
    boot_writer:
      description: Who sets it, the loader of the host or whoever comes last after it, as in RV(late_writers).
      type: str
  sample:
    - key: net.ipv4.tcp_tw_reuse
      wanted: "1"
      before: "2"
      after: "1"
      status: changed
      boot_value: "1"
      boot_file: /etc/sysctl.d/99-zz-ephemeral-ports.conf
      boot_line: 12
      boot_writer: systemd-sysctl
file:
  description:
    - The result for the file, V(created), V(changed), V(unchanged), V(restored), V(removed), V(absent), V(kept) (not
      rolled back, because somebody else has changed it since), or V(unmanaged) (without a journal there is nothing to
      roll back).
  type: str
  returned: success
  sample: created
late_writers:
  description:
    - Who sets sysctls again after the loader of the boot, V(tuned) where a profile is active, V(ufw) where it is
      enabled and has a sysctl file, and V(ifup), V(NetworkManager), V(cloud-init) and V(rc.local) where their files
      plainly call C(sysctl) for one of these keys. Whoever comes last decides RV(settings[].boot_value).
  type: list
  elements: str
  returned: success
  sample: [tuned]
namespaces_set:
  description:
    - In how many other network namespaces M(netops.ephemeral_ports.namespace_sysctls) has set something, by its journal
      in O(state_dir). This module leaves them alone.
  type: int
  returned: success
  sample: 0
on_trial:
  description:
    - Whether a change is on trial after this run, by the journal. In check mode, whether one would be after a run
      without check mode.
  type: bool
  returned: success
  sample: false
recovered:
  description: Whether an earlier run had been interrupted and was rolled back first.
  type: bool
  returned: success
  sample: false
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._dropin.journal import DROPIN, STATE_DIR
from ..module_utils._dropin.run import run

ARGUMENTS: Dict[str, Any] = {
    "path": {"type": "path", "default": DROPIN},
    "content": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "confirmed"], "default": "present"},
    "trial": {"type": "bool", "default": False},
    "on_conflict": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "state_dir": {"type": "path", "default": STATE_DIR},
    "lock_timeout": {"type": "int", "default": 30},
    "keys": {"type": "list", "elements": "str", "no_log": False},
    "asked_ports": {"type": "str"},
}


def main() -> None:
    shell.run(ARGUMENTS, run, required_if=[("state", "present", ["content"])], supports_check_mode=True)


if __name__ == "__main__":
    main()

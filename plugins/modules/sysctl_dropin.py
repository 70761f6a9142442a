#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: sysctl_dropin
short_description: Make a sysctl.d file and the running kernel say the same
version_added: 0.1.0
description:
  - Writes a sysctl.d file and sets the running values of all keys in it, in one transaction. Afterwards file and
    running kernel agree, or both are as they were before.
  - What is to be changed is written down before it is changed. If a run is killed, the next one first undoes what that
    left half done.
  - The first run records how file and running values were. O(state=absent) brings back exactly those.
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
      - What the file shall contain, in the syntax of sysctl.d(5). Each line sets one key; patterns are not taken.
      - A key that the kernel lacks is an error unless a C(-) stands before it. Then it is skipped. A value that the
        kernel refuses is an error in any case.
      - A key that an earlier run has set and that is no longer named keeps its running value. O(state=absent) brings
        back that of before the first run.
      - Required with O(state=present).
    type: str
  state:
    description:
      - V(present) writes the file and the running values.
      - V(absent) takes both back to how they were before the first run. Where no run is recorded nothing is changed.
        With O(trial=true) it takes back only the change that is on trial, to how things were before it.
      - V(confirmed) ends the trial of a change, which stays. Neither file nor running values are touched.
      - What somebody else has changed since is left as it is and gets the status V(kept). If that is the content of the
        file, so are the running values of the keys that it sets; remove the file and run this again to take back all.
    type: str
    choices: [present, absent, confirmed]
    default: present
  trial:
    description:
      - With O(state=present), record a change as one that is on trial until a later run confirms it
        (O(state=confirmed), or O(state=present) without this option) or takes it back (O(state=absent) with this
        option). Several changes on trial are one. Where nothing changes, nothing new is on trial.
      - It says nothing by itself, it waits for nothing, and a reboot does not end it. A rollout remembers in this way,
        on the host, what it has changed and not yet judged.
    type: bool
    default: false
  on_conflict:
    description:
      - What to do when a value would not survive a reboot, because another sysctl file decides, because no loader reads
        O(path), or because the loader writes only part of a long list. Found out by the rules of the loader of this
        host, in check mode too, before anything is changed.
      - V(fail) refuses and names key, values and deciding line, V(warn) goes on with warnings, V(ignore) goes on.
      - The loader is C(systemd-sysctl) where it is installed. Where C(sysctl --system), ufw or tuned would later set
        another value, that is a warning only.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  state_dir:
    description:
      - A directory for the record of original values. It is created when needed, and removed when it has become empty.
        The directory above it must exist.
    type: path
    default: /var/lib/netops.ephemeral_ports
  lock_timeout:
    description:
      - For how many seconds to wait for another run that changes a file in the same directory.
    type: int
    default: 30
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the file and the running values.
  idempotent:
    support: full
  platform:
    platforms: linux
seealso:
  - module: netops.ephemeral_ports.port_usage_info
  - plugin: netops.ephemeral_ports.remediation_plan
    plugin_type: filter
    description: Decides what should stand in the file.
"""

EXAMPLES = r"""
- name: Widen the range, but not over the service on 15432, and take over ports in TIME_WAIT
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

- name: Keep it
  netops.ephemeral_ports.sysctl_dropin:
    state: confirmed

- name: Take it all back
  netops.ephemeral_ports.sysctl_dropin:
    state: absent
"""

RETURN = r"""
path:
  description: The file, with links followed.
  type: str
  returned: success
  sample: /etc/sysctl.d/99-zz-ephemeral-ports.conf
settings:
  description: What became of each key.
  type: list
  elements: dict
  returned: success
  contains:
    key:
      description: The name of the key.
      type: str
    wanted:
      description: The value asked for, null where the key is taken back.
      type: str
    before:
      description: The running value before, null where the kernel has no such key.
      type: str
    after:
      description: The running value after, as read back.
      type: str
    status:
      description:
        - V(changed), V(unchanged), V(skipped) (the kernel lacks the key, and it is optional), V(restored) (taken back),
          or V(kept) (not taken back, because somebody else has since changed it, or the file that sets it).
      type: str
    boot_value:
      description: The value after a reboot, null where no file sets the key, or no loader is known.
      type: str
    boot_file:
      description: The file that decides this, null where there is none.
      type: str
  sample:
    - key: net.ipv4.tcp_tw_reuse
      wanted: "1"
      before: "2"
      after: "1"
      status: changed
      boot_value: "1"
      boot_file: /etc/sysctl.d/99-zz-ephemeral-ports.conf
file:
  description:
    - What became of the file, V(created), V(changed), V(unchanged), V(restored), V(removed), V(absent), V(kept) (not
      taken back, because somebody else has changed it since), or V(unrecorded) (no run is recorded, so there is nothing
      to take back).
  type: str
  returned: success
  sample: created
late_writers:
  description:
    - Who sets sysctls once more after the loader of the boot, V(tuned) where a profile is active and V(ufw) where it is
      enabled and has a sysctl file. A warning tells where that would change a value.
  type: list
  elements: str
  returned: success
  sample: [tuned]
on_trial:
  description:
    - Whether the record says, after this run, that a change is on trial. In check mode, whether it would say so after a
      run without check mode.
  type: bool
  returned: success
  sample: false
recovered:
  description: Whether an earlier run had broken off and was undone first.
  type: bool
  returned: success
  sample: false
"""

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule, _load_params

from ..module_utils._arguments import OptionError, refuse_booleans
from ..module_utils._boot import loaders as boot_loaders
from ..module_utils._boot import outlook as boot_outlook
from ..module_utils._boot.outlook import BootOutlook
from ..module_utils._boot.precedence import UNSET
from ..module_utils._dropin import durable_file, transaction
from ..module_utils._dropin.durable_file import FileState
from ..module_utils._kernel import sysctl

ARGUMENTS: Dict[str, Any] = {
    "path": {"type": "path", "default": "/etc/sysctl.d/99-zz-ephemeral-ports.conf"},
    "content": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "confirmed"], "default": "present"},
    "trial": {"type": "bool", "default": False},
    "on_conflict": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "state_dir": {"type": "path", "default": "/var/lib/netops.ephemeral_ports"},
    "lock_timeout": {"type": "int", "default": 30},
}


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    if params["lock_timeout"] < 0:
        raise ValueError(f"lock_timeout must not be negative; {params['lock_timeout']} is")
    dropin = transaction.Dropin(params["path"], params["state_dir"])
    loaders = boot_loaders.find_loaders()

    def foresee(file: Optional[FileState], wanted: Mapping[str, Optional[str]]) -> BootOutlook:
        text = file and file.content.decode("utf-8", "surrogateescape")
        return boot_outlook.look_ahead(loaders, dropin.target, text, wanted)

    def review(file: Optional[FileState], wanted: Mapping[str, Optional[str]]) -> None:
        conflicts = foresee(file, wanted).conflicts
        if conflicts and params["on_conflict"] == "fail":
            raise transaction.ApplyError(
                f"not changed, because it would not survive a reboot: {'; '.join(conflicts)}. "
                "Change what decides, or allow it with on_conflict: warn"
            )

    def others(file: Optional[FileState], keys: Iterable[str]) -> Dict[str, str]:
        return boot_outlook.decided_elsewhere(foresee(file, dict.fromkeys(keys)), dropin.target)

    timeout, trial = params["lock_timeout"], params["trial"]
    if params["state"] == "present":
        outcome = transaction.apply(dropin, params["content"], timeout, check, review, trial)
    elif params["state"] == "absent":
        outcome = transaction.take_back(dropin, timeout, check, others, trial)
    else:
        outcome = transaction.confirm(dropin, timeout, check)
    existing = {record.key: record.wanted for record in outcome.records if record.before is not None}
    outlook = foresee(outcome.file_after, existing)
    return {
        "changed": outcome.changed,
        "path": dropin.target,
        "settings": [{**record._asdict(), **_boot_of(record.key, outlook)} for record in outcome.records],
        "file": _file_status(outcome, params["state"]),
        "on_trial": outcome.on_trial,
        "recovered": outcome.recovered,
        "late_writers": boot_outlook.reapplied_by(),
        "diff": _diff(dropin.target, outcome),
        "warnings": [] if params["on_conflict"] == "ignore" else [*outlook.conflicts, *outlook.warnings],
    }


def _boot_of(key: str, outlook: BootOutlook) -> Dict[str, Optional[str]]:
    boot = outlook.values.get(key, UNSET)
    return {"boot_value": boot.value and sysctl.with_blanks(boot.value), "boot_file": boot.file}


def _file_status(outcome: transaction.Outcome, state: str) -> str:
    before, after = outcome.file_before, outcome.file_after
    if outcome.file_kept:
        return "kept"
    if after is None:
        return "absent" if before is None else "removed"
    if state == "absent":
        return "restored" if outcome.records else "unrecorded"
    if before is None:
        return "created"
    return "unchanged" if before == after else "changed"


def _diff(path: str, outcome: transaction.Outcome) -> List[Dict[str, str]]:
    present = [record for record in outcome.records if record.before is not None]
    return [
        {
            "before_header": path,
            "after_header": path,
            "before": _text(outcome.file_before),
            "after": _text(outcome.file_after),
        },
        {
            "before_header": "running kernel",
            "after_header": "running kernel",
            "before": "".join(f"{record.key} = {record.before}\n" for record in present),
            "after": "".join(f"{record.key} = {record.after}\n" for record in present),
        },
    ]


def _text(file: Optional[durable_file.FileState]) -> str:
    return file.content.decode("utf-8", "backslashreplace") if file else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ["content"])],
        supports_check_mode=True,
    )
    try:
        refuse_booleans(ARGUMENTS, _load_params())
        result = run(module.params, module.check_mode)
    except OSError as error:
        module.fail_json(msg=transaction.in_words(error))
    except (OptionError, ValueError, transaction.ApplyError, durable_file.LockedError) as error:
        module.fail_json(msg=str(error))
    for sentence in result.pop("warnings"):
        module.warn(sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

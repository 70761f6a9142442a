# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sysctl_dropin as a task of a play."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .dropin import RANGE, REUSE, STATE, contents
from .inside import ROOT, private

PLAY = f"""
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{sys.executable}"
    content: |
      {REUSE} = 1
      {RANGE} = 20000 60001
  module_defaults:
    group/netops.ephemeral_ports.all: {{}}
    netops.ephemeral_ports.sysctl_dropin:
      state_dir: {STATE}
  tasks:
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      check_mode: true
      diff: true
      register: predicted
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      diff: true
      register: applied
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      register: again
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}", lock_timeout: true}}
      register: boolean
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{REUSE} = 7"}}
      register: refused
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{}}
      register: empty
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{state: absent}}
      register: rolled_back
    - ansible.builtin.assert:
        that:
          - predicted is changed
          - predicted.settings == applied.settings
          - predicted.diff == applied.diff
          - applied.settings | map(attribute="after") | list == ["1", "20000 60001"]
          - again is not changed
          - boolean.msg == "lock_timeout must be a number, not the boolean true"
          - refused.msg is search("the kernel refuses that. 7 is outside 0 to 2")
          - empty.msg is search("content")
          - rolled_back is changed
          - rolled_back.file == "removed"
"""


@private
def test_through_ansible(tmp_path: Path) -> None:
    before = contents()
    (tmp_path / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-c", "local", "-i", "localhost,", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"), "ANSIBLE_HOME": str(tmp_path / "home")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents() == before

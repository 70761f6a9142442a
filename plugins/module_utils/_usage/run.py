# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module port_usage_info without Ansible."""

from typing import Any, Dict

from .._dropin import applied
from . import observe
from .options import check_options


def run(options: Dict[str, Any], _check: bool) -> Dict[str, Any]:
    checked = check_options(options)
    if options["detail"] != "full":
        return observe.observe(checked)
    found = applied.find_applied(options["path"], options["state_dir"])
    usage = observe.observe(checked, applied=found, elsewhere=applied.find_elsewhere(options["state_dir"]))
    usage["other_dropins"] = applied.find_other_dropins(options["path"], options["state_dir"])
    return usage

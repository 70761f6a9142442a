# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of sysctl_dropin: its options in, what it returns out."""

from typing import Any, Dict, Iterable, Mapping, Optional

from .._boot import loaders as boot_loaders
from .._boot import outlook as boot_outlook
from .._boot.outlook import BootOutlook
from . import transaction
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .result import describe_result


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """Raises ValueError for bad options, ApplyError, LockedError or OSError."""
    if params["lock_timeout"] < 0:
        raise ValueError(f"lock_timeout must not be negative; {params['lock_timeout']} is")
    dropin = Dropin(params["path"], params["state_dir"])
    loaders = boot_loaders.find_loaders()

    def predict(file: Optional[FileState], wanted: Mapping[str, Optional[str]]) -> BootOutlook:
        text = file and file.content.decode("utf-8", "surrogateescape")
        return boot_outlook.predict_boot(loaders, dropin.target, text, wanted)

    def refuse_conflicts(file: Optional[FileState], wanted: Mapping[str, Optional[str]]) -> None:
        conflicts = predict(file, wanted).conflicts
        if conflicts and params["on_conflict"] == "fail":
            raise ApplyError(
                f"not changed, because it would not survive a reboot: {'; '.join(conflicts)}. "
                "Change the deciding line, or allow it with on_conflict: warn"
            )

    def set_elsewhere(file: Optional[FileState], keys: Iterable[str]) -> Dict[str, str]:
        return boot_outlook.values_set_elsewhere(predict(file, dict.fromkeys(keys)), dropin.target)

    timeout, trial = params["lock_timeout"], params["trial"]
    if params["state"] == "present":
        result = transaction.apply(dropin, params["content"], timeout, check, refuse_conflicts, trial)
    elif params["state"] == "absent":
        result = transaction.roll_back(dropin, timeout, check, set_elsewhere, trial)
    else:
        result = transaction.confirm(dropin, timeout, check)
    existing = {setting.key: setting.wanted for setting in result.settings if setting.before is not None}
    outlook = predict(result.file_after, existing)
    return {
        **describe_result(result, dropin.target, params["state"], outlook),
        "late_writers": boot_outlook.reapplied_by(),
        "warnings": [] if params["on_conflict"] == "ignore" else [*outlook.conflicts, *outlook.warnings],
    }

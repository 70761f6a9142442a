# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of sysctl_dropin: its options in, what it returns out."""

from typing import Any, Dict, Mapping, Optional, Sequence

from .._boot import loaders as boot_loaders
from .._boot import outlook as boot_outlook
from .._boot.dialects import Loader
from .._boot.outlook import BootOutlook
from .._errors import OptionError
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .result import describe_result
from .transaction import begin, commit, prepare_apply, prepare_confirmation, prepare_rollback


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """Raises Error or OSError."""
    if params["lock_timeout"] < 0:
        raise OptionError(f"lock_timeout must not be negative; {params['lock_timeout']} is")
    dropin = Dropin(params["path"], params["state_dir"])
    loaders = boot_loaders.find_loaders()
    with begin(dropin, params["lock_timeout"], check) as start:
        if params["state"] == "present":
            change = prepare_apply(start, params["content"], params["trial"])
            if params["on_conflict"] == "fail":
                _refuse_conflicts(_predict_boot(loaders, dropin, change.target.file, change.target.values))
        elif params["state"] == "confirmed":
            change = prepare_confirmation(start)
        else:
            change = prepare_rollback(start, params["trial"])
            if not params["trial"]:
                # A key that another sysctl file sets gets that value, as it will at boot.
                outlook = _predict_boot(loaders, dropin, change.target.file, dict.fromkeys(change.target.values))
                change = change.with_values(boot_outlook.values_set_elsewhere(outlook, dropin.target))
        result = commit(start, change)
    wanted = {setting.key: setting.wanted for setting in result.settings if setting.before is not None}
    outlook = _predict_boot(loaders, dropin, result.file_after, wanted)
    return {
        **describe_result(result, dropin.target, params["state"], outlook),
        "late_writers": boot_outlook.active_late_writers(),
        "warnings": [] if params["on_conflict"] == "ignore" else [*outlook.conflicts, *outlook.warnings],
    }


def _predict_boot(
    loaders: Sequence[Loader], dropin: Dropin, file: Optional[FileState], wanted: Mapping[str, Optional[str]]
) -> BootOutlook:
    text = file and file.content.decode("utf-8", "surrogateescape")
    return boot_outlook.predict_boot(loaders, dropin.target, text, wanted)


def _refuse_conflicts(outlook: BootOutlook) -> None:
    if outlook.conflicts:
        raise ApplyError(
            f"not changed, because it would not survive a reboot: {'; '.join(outlook.conflicts)}. "
            "Change the deciding line, or allow it with on_conflict: warn"
        )

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of sysctl_dropin: its options in, what it returns out."""

import os
from functools import partial
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from .._boot import loaders as boot_loaders
from .._boot import outlook as boot_outlook
from .._boot.dialects import Loader
from .._boot.outlook import BootOutlook
from .._boot.precedence import BootValue
from .._common.errors import OptionError
from .._kernel import sysctl
from . import namespace_journal
from .dropin import ApplyError, Dropin
from .durable_file import FileState
from .preflight import check_asked
from .result import describe_result
from .transaction import Change, begin, commit, prepare_apply, prepare_confirmation, prepare_rollback


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """Raises Error or OSError."""
    if params["lock_timeout"] < 0:
        raise OptionError(f"lock_timeout must not be negative; {params['lock_timeout']} is")
    keys = [sysctl.canonical(key) for key in params.get("keys") or ()]
    if keys and (params["state"] != "absent" or params["trial"]):
        raise OptionError("keys go with state: absent alone: they say what is rolled back")
    asked_ports = check_asked(params.get("asked_ports"))
    loaders = boot_loaders.find_loaders()
    named = Dropin(params["path"], params["state_dir"])
    with begin(named, params["lock_timeout"], check, partial(_set_elsewhere, loaders, named)) as start:
        dropin = start.dropin
        if params["state"] == "present":
            change = prepare_apply(start, params["content"], params["trial"], asked_ports)
            if params["on_conflict"] == "fail":
                asked = [key for key in change.target.values if change.wanted[key] is not None]
                applied = {key: change.target.values[key] for key in asked}
                _refuse_conflicts(loaders, dropin, change, applied)
        elif params["state"] == "confirmed":
            change = prepare_confirmation(start)
        else:
            change = prepare_rollback(start, params["trial"], keys)
        result = commit(start, change)
    wanted = {setting.key: setting.wanted for setting in result.settings if setting.before is not None}
    outlook = _predict_boot(loaders, dropin, result.file_after, wanted)
    boot_warnings = [] if params["on_conflict"] == "ignore" else [*outlook.conflicts, *outlook.warnings]
    return {
        **describe_result(result, dropin.target, params["state"], outlook),
        "late_writers": outlook.late_writers,
        "namespaces_set": namespace_journal.count(params["state_dir"]),
        "warnings": [*result.warnings, *boot_warnings],
    }


def _set_elsewhere(
    loaders: Sequence[Loader], dropin: Dropin, file: Optional[FileState], keys: Iterable[str]
) -> Dict[str, BootValue]:
    """What other files than the drop-in set at boot, or would set if the kernel took it."""
    keys = list(keys)
    if not keys:
        return {}
    found = _predict_boot(loaders, dropin, file, dict.fromkeys(keys)).values
    return {
        key: boot if boot.refused is None else boot._replace(value=boot.refused)
        for key, boot in found.items()
        if boot.file is not None and os.path.realpath(boot.file) != dropin.target
    }


def _lost(change: Change) -> List[str]:
    return [
        f"{key} = {value}, which an earlier run has set, but no file sets it any more"
        for key, value in change.lost.items()
    ]


def _predict_boot(
    loaders: Sequence[Loader], dropin: Dropin, file: Optional[FileState], wanted: Mapping[str, Optional[str]]
) -> BootOutlook:
    return boot_outlook.predict_boot(loaders, dropin.target, _text(file), wanted)


def _refuse_conflicts(
    loaders: Sequence[Loader], dropin: Dropin, change: Change, wanted: Mapping[str, Optional[str]]
) -> None:
    outlook = _predict_boot(loaders, dropin, change.target.file, wanted)
    conflicts = [*outlook.conflicts, *_lost(change)]
    if conflicts:
        text = _text(change.target.file)
        ways = boot_outlook.ways_out(outlook, loaders, dropin.target, text, wanted)
        raise ApplyError(
            f"not changed, because it would not survive a reboot: {'; '.join(conflicts)}. You can {', or '.join(ways)}"
        )


def _text(file: Optional[FileState]) -> Optional[str]:
    return file and file.content.decode("utf-8", "surrogateescape")

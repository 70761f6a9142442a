# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of sysctl_dropin returns."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .._boot.outlook import BootOutlook
from .._boot.precedence import UNSET
from .._kernel import sysctl
from .durable_file import FileState


class KeyResult(NamedTuple):
    """What became of a key. Values are None where the kernel has no such key, or none is wanted.

    status: changed, unchanged, skipped (the kernel lacks it, and it is optional), restored (rolled back), or kept (not
    rolled back, because somebody else has since changed it, or the file that sets it, or the kernel refuses the value).
    """

    key: str
    wanted: Optional[str]
    before: Optional[str]
    after: Optional[str]
    status: str


class ApplyResult(NamedTuple):
    """What a run did, or would do in check mode.

    recovered: it first rolled back an interrupted run. file_kept: the file was not rolled back, because somebody else
    has changed it since. on_trial: the journal says afterwards that a change is on trial. warnings: sentences without
    a full stop.
    """

    changed: bool
    recovered: bool
    settings: List[KeyResult]
    file_before: Optional[FileState]
    file_after: Optional[FileState]
    file_kept: bool
    on_trial: bool
    warnings: Sequence[str]


def key_result(key: str, current: Optional[str], wanted: Optional[str], target: Optional[str]) -> KeyResult:
    if current is None:
        return KeyResult(key, wanted, None, None, "skipped")
    before = sysctl.spelled(key, current)
    after = before if target is None else sysctl.spelled(key, target)
    if target is None:
        return KeyResult(key, wanted, before, after, "kept")
    if wanted is None:
        return KeyResult(key, None, before, after, "restored")
    return KeyResult(key, wanted, before, after, "unchanged" if sysctl.same(key, before, after) else "changed")


def describe_result(result: ApplyResult, path: str, state: str, outlook: BootOutlook) -> Dict[str, Any]:
    """What the module returns. path: that of the file itself. outlook: what the next boot sets, with this result."""
    return {
        "kind": "apply",
        "changed": result.changed,
        "path": path,
        "settings": [{**setting._asdict(), **_boot_of(setting.key, outlook)} for setting in result.settings],
        "file": _file_status(result, state),
        "on_trial": result.on_trial,
        "recovered": result.recovered,
        "diff": _diff(path, result),
    }


def _boot_of(key: str, outlook: BootOutlook) -> Dict[str, Any]:
    boot = outlook.values.get(key, UNSET)
    return {
        "boot_value": boot.value,
        "boot_file": boot.file,
        "boot_line": boot.line,
        "boot_writer": boot.writer,
    }


def _file_status(result: ApplyResult, state: str) -> str:
    before, after = result.file_before, result.file_after
    if result.file_kept:
        return "kept"
    if after is None:
        return "absent" if before is None else "removed"
    if state == "absent":
        return "restored" if result.settings else "unmanaged"
    if before is None:
        return "created"
    return "unchanged" if before == after else "changed"


def _diff(path: str, result: ApplyResult) -> List[Dict[str, str]]:
    existing = [setting for setting in result.settings if setting.before is not None]
    return [
        {
            "before_header": path,
            "after_header": path,
            "before": _text(result.file_before),
            "after": _text(result.file_after),
        },
        {
            "before_header": "running kernel",
            "after_header": "running kernel",
            "before": "".join(f"{setting.key} = {setting.before}\n" for setting in existing),
            "after": "".join(f"{setting.key} = {setting.after}\n" for setting in existing),
        },
    ]


def _text(file: Optional[FileState]) -> str:
    return file.content.decode("utf-8", "backslashreplace") if file else ""

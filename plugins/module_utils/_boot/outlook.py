# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a drop-in gets its way after a reboot, on this host."""

import os
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .._kernel import sysctl
from . import files as boot_files
from . import late_writers, precedence
from .dialects import PROCPS, Loader
from .lines import SysctlFile
from .loaders import read_files
from .precedence import UNSET, BootValue

# Where tuned looks for files to apply again.
_TUNED_DIRECTORIES = ("/etc/", "/run/")


class BootOutlook(NamedTuple):
    """What the boot will bring. conflicts and warnings are sentences without a full stop.

    values: what each key will be by the first loader. conflicts: where that differs from what is wanted. warnings: who
    else would set it otherwise.
    """

    values: Dict[str, BootValue]
    conflicts: List[str]
    warnings: List[str]


def predict_boot(
    loaders: Sequence[Loader], target: str, text: Optional[str], wanted: Mapping[str, Optional[str]]
) -> BootOutlook:
    """Simulate the boot with a text (None: no file) in the drop-in. target: its real path.

    wanted: each key of interest, with its value or None where none is asked for. Changes nothing.
    """
    if not loaders:
        unknown = "neither systemd-sysctl nor the sysctl of procps is installed, so it is unknown what a reboot brings"
        return BootOutlook(dict.fromkeys(wanted, UNSET), [], [unknown] if any(wanted.values()) else [])
    results = []
    for loader in loaders:
        files = read_files(loader, changes={target: text})
        values = precedence.boot_values(loader, files, wanted, page_size=os.sysconf("SC_PAGE_SIZE"))
        is_read = any(os.path.realpath(file.path) == target for file in files)
        results.append((values, list(_differences(loader, values, wanted, target, is_read))))
    (values, conflicts), *others = results
    warnings = [sentence for _values, differences in others for sentence in differences if sentence not in conflicts]
    return BootOutlook(values, conflicts, [*warnings, *_ufw(wanted), *_tuned(target, wanted)])


def active_late_writers() -> List[str]:
    """Who sets sysctls of files or profiles once more after the loader of the boot."""
    ufw = late_writers.find_ufw()
    found = {"tuned": late_writers.find_tuned() is not None, "ufw": bool(ufw and ufw.enabled and ufw.sysctl_file)}
    return [name for name, is_active in found.items() if is_active]


def _differences(
    loader: Loader, values: Mapping[str, BootValue], wanted: Mapping[str, Optional[str]], target: str, is_read: bool
) -> Iterator[str]:
    for key, value in wanted.items():
        boot = values[key]
        if value is None or (boot.value is not None and sysctl.same(key, value, boot.value)):
            continue
        result = "leaves it at the kernel's default" if boot.value is None else f'sets it to "{_short(boot.value)}"'
        reasons = [] if is_read else [f"it does not read {target}"]
        if boot.file is not None and os.path.realpath(boot.file) == target:
            reasons.append("it writes only the beginning of so long a list")
        elif boot.file is not None:
            reasons.append(f"{boot.file}:{boot.line} decides")
        why = " and ".join(reasons) or "it does not understand the line"
        yield f"{key} = {_short(value)}, but {loader} {result}: {why}"


def _ufw(wanted: Mapping[str, Optional[str]]) -> Iterator[str]:
    ufw = late_writers.find_ufw()
    if ufw is None or not ufw.enabled or ufw.sysctl_file is None:
        return
    # ufw hands its file to `sysctl -p`. Patterns apart, all versions read it alike.
    reader = Loader(PROCPS, (3, 3, 17))
    text = boot_files.read_text(ufw.sysctl_file)
    values = precedence.boot_values(reader, [SysctlFile(ufw.sysctl_file, text)], wanted)
    for key, value in wanted.items():
        boot = values[key]
        if value is not None and boot.value is not None and not sysctl.same(key, value, boot.value):
            yield f'{key} = {_short(value)}, but ufw sets it to "{_short(boot.value)}": {boot.file}:{boot.line} decides'


def _tuned(target: str, wanted: Mapping[str, Optional[str]]) -> Iterator[str]:
    tuned = late_writers.find_tuned() if any(wanted.values()) else None
    if tuned is not None and not (tuned.reapply_sysctl and target.startswith(_TUNED_DIRECTORIES)):
        why = "of another directory than /etc and /run" if tuned.reapply_sysctl else "with reapply_sysctl = 0"
        yield f'tuned does not apply sysctl files {why} again, so its profile "{tuned.profile}" wins where they differ'


def _short(value: str, most: int = 60) -> str:
    return value if len(value) <= most else f"{value[:most]}... ({len(value)} characters)"

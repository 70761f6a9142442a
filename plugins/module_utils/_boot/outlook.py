# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a drop-in gets its way after a reboot, on this host."""

import os
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._kernel import features, keys, sysctl
from .._kernel.features import Version
from .._kernel.ports import FIRST_UNPRIVILEGED, KERNEL_RANGE
from .._kernel.sysctl_value import LONG_LISTS, RefusedError, value_after
from .dialects import Loader
from .files import DIRECTORIES, emptied_above
from .late_writers import LateWriters, find_late_writers
from .loaders import read_files
from .precedence import UNSET, BootValue, Stage, boot_values, loader_stage, still_unknown

# What the kernel starts with, of the two keys that bound each other; the second one came with this version.
_RANGE, _START = str(KERNEL_RANGE), str(FIRST_UNPRIVILEGED)
_START_CAME = (4, 11)
_LATER_NAMES = ("zz-ephemeral-ports.conf", "zzz-ephemeral-ports.conf", "zzzz-ephemeral-ports.conf")


class BootOutlook(NamedTuple):
    """What the boot will bring. conflicts and warnings are sentences without a full stop.

    values: what each key will be by the first loader and the late writers. conflicts: where that differs from what is
    wanted. deciding: the lines that are to blame, as file:line. warnings: who else would set it otherwise.
    """

    values: Dict[str, BootValue]
    conflicts: List[str]
    deciding: List[str]
    warnings: List[str]
    late_writers: List[str]


def predict_boot(
    loaders: Sequence[Loader], target: str, text: Optional[str], wanted: Mapping[str, Optional[str]]
) -> BootOutlook:
    """Simulate the boot with a text (None: no file) in the drop-in. target: its real path.

    wanted: each key of interest, with its value or None where none is asked for. Changes nothing.
    """
    host = _Host(features.parse_version(features.release()), os.sysconf("SC_PAGE_SIZE"), target)
    start = host.start(wanted)
    lasts = emptied_above(target) is None
    text = text if lasts else None
    late = find_late_writers(loaders, start, changes={target: text})
    known = [stage for stage in late.stages if stage.writes or stage.unknown or stage.name in ("tuned", "ufw")]
    names = sorted({stage.name for stage in known})
    if not loaders:
        unknown = "neither systemd-sysctl nor the sysctl of procps is installed, so it is unknown what a reboot brings"
        return BootOutlook(dict.fromkeys(wanted, UNSET), [], [], [unknown] if any(wanted.values()) else [], names)
    results: List[Tuple[Dict[str, BootValue], List[str]]] = []
    for loader in loaders:
        files = read_files(loader, changes={target: text})
        is_read = lasts and any(os.path.realpath(file.path) == target for file in files)
        # The others set values when somebody runs them, not at boot.
        stages = [loader_stage(loader, files, start)] + ([] if results else late.stages)
        values = host.values(stages, start)
        results.append((values, list(host.differences(loader, values, wanted, is_read))))
    (values, conflicts), *others = results
    warnings = [sentence for _values, differences in others for sentence in differences if sentence not in conflicts]
    deciding = sorted({_place(values[key]) for key in host.lost(values, wanted)} - {""})
    warnings += _first_boot(host, late.first_boot, values, wanted)
    warnings += _unknown(late, wanted)
    return BootOutlook({key: values[key] for key in wanted}, conflicts, deciding, warnings, names)


def ways_out(
    outlook: BootOutlook,
    loaders: Sequence[Loader],
    target: str,
    text: Optional[str],
    wanted: Mapping[str, Optional[str]],
) -> List[str]:
    """What one can do about the conflicts, each way as the end of "you can ...". target: as for predict_boot()."""
    lasts = emptied_above(target) is None
    ways = [f"change {' and '.join(outlook.deciding)}"] if outlook.deciding else []
    directory = os.path.dirname(target)
    directory = directory if directory in DIRECTORIES and lasts else DIRECTORIES[0]
    names = _LATER_NAMES if lasts else (os.path.basename(target), *_LATER_NAMES)
    paths = (os.path.join(directory, name) for name in (names if outlook.conflicts else ()))
    free = (path for path in paths if path != target and not os.path.lexists(path))
    later = (path for path in free if not predict_boot(loaders, os.path.realpath(path), text, wanted).conflicts)
    what = "a name that sorts later" if lasts else "a place that lasts"
    ways += [f"give the drop-in {what}, path: {path} (timewait_remediate_path)" for path in later][:1]
    return [*ways, "accept it with on_conflict: warn (timewait_remediate_on_conflict: warn)"]


class _Host(NamedTuple):
    version: Version
    page_size: int
    target: str

    def start(self, wanted: Iterable[str]) -> Dict[str, Optional[str]]:
        """Each key before the boot sets it, as far as it matters to what it takes."""
        others = sysctl.read_all(key for key in wanted if key not in keys.ROWS)
        bounded = {keys.PORT_RANGE: _RANGE, keys.UNPRIVILEGED_PORT_START: _START}
        if self.version < _START_CAME:
            bounded[keys.UNPRIVILEGED_PORT_START] = "0"
        return {**dict.fromkeys(wanted), **others, **bounded}

    def values(self, stages: Iterable[Stage], start: Mapping[str, Optional[str]]) -> Dict[str, BootValue]:
        return boot_values(stages, start, self.version, self.page_size)

    def lost(self, values: Mapping[str, BootValue], wanted: Mapping[str, Optional[str]]) -> Iterator[str]:
        """The keys that will not be what is wanted."""
        for key, value in wanted.items():
            boot = values[key].value
            if value is not None and (boot is None or not sysctl.same(key, self._meant(key, value), boot)):
                yield key

    def differences(
        self, loader: Loader, values: Mapping[str, BootValue], wanted: Mapping[str, Optional[str]], is_read: bool
    ) -> Iterator[str]:
        for key in self.lost(values, wanted):
            boot = values[key]
            result = "leaves it at the kernel's default" if boot.value is None else f'sets it to "{_short(boot.value)}"'
            reasons = [] if is_read or boot.value is not None else [self._not_read()]
            is_cut = boot.file is not None and os.path.realpath(boot.file) == self.target
            if is_cut and len(boot.refused or "") in (0, self.page_size - 1):
                reasons.append(self._cut())
            elif boot.file is not None:
                reasons.append(f"{_place(boot)} decides")
                reasons += [f"the kernel then refuses that: {boot.why}"] if boot.why else []
            why = " and ".join(reasons) or "it does not understand the line"
            yield f"{key} = {_short(wanted[key] or '')}, but {boot.writer or loader} {result}: {why}"

    def _not_read(self) -> str:
        emptied = emptied_above(self.target)
        return (
            f"a reboot empties {emptied}, and {self.target} with it" if emptied else f"it does not read {self.target}"
        )

    def _cut(self) -> str:
        who = "this kernel takes" if self.version < LONG_LISTS else "it writes"
        return f"{who} only the beginning of so long a list"

    def _meant(self, key: str, value: str) -> str:
        try:
            return value_after(key, value, {}, self.version)
        except RefusedError:
            return value


def _first_boot(
    host: _Host, stages: Iterable[Stage], values: Mapping[str, BootValue], wanted: Mapping[str, Optional[str]]
) -> Iterator[str]:
    start = {key: boot.value for key, boot in values.items()}
    changed = host.values(stages, start)
    for key in host.lost({key: changed[key] if changed[key].value else values[key] for key in wanted}, wanted):
        if changed[key].value is not None:
            yield (
                f"{key} = {_short(wanted[key] or '')}, but {changed[key].writer} sets it to "
                f'"{_short(changed[key].value or "")}" when an instance is new: {_place(changed[key])}'
            )


def _unknown(late: LateWriters, wanted: Mapping[str, Optional[str]]) -> Iterator[str]:
    """What late writers set to what is not known here, and what of a profile of tuned is not found and would win."""
    for stages, when in ((late.stages, ""), (late.first_boot, " when an instance is new")):
        for key, (writer, write) in still_unknown(stages).items():
            if wanted.get(key) is not None:
                yield f"{key} is set by {writer}{when}, to what is not known here: {write.file}:{write.line}"
    tuned = late.tuned
    if tuned is not None and any(wanted.values()) and not tuned.reapply_sysctl and not tuned.is_whole:
        yield (
            f'tuned does not apply sysctl files again with reapply_sysctl = 0, so its profile "{tuned.profile}" wins '
            "where they differ, and that is not found here"
        )


def _place(boot: BootValue) -> str:
    return f"{boot.file}:{boot.line}" if boot.file else ""


def _short(value: str, most: int = 60) -> str:
    return value if len(value) <= most else f"{value[:most]}... ({len(value)} characters)"

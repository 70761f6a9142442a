# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as files: report.json, report.csv and report.html; gateways.csv where there are NAT gateways."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from ...module_utils._common.text import format_destination, live_of, place_name, recent_rate
from ...module_utils._usage.places import places
from .._model import HostReport, Pool, Report, Usage
from .._text.users import users_of
from .._text.wording import level_from
from .encode import HostEncoder, encode
from .host import LEVELS, latest_usage, pools_before
from .page import render

OF_HOST = (
    "host", "state", "level", "error", "kernel", "port_range", "usable_ports", "findings", "not_observed",
    "settings_to_change", "settings_changed",
)  # fmt: skip
OF_POOL = (
    "namespace", "destination_rank", "kind", "source", "destination", "destination_level", "level_from", "probe_errno",
    "search_us", "blocked", "time_wait", "live", "saturation", "rate_per_second", "trend", "forecast_saturation",
    "seconds_to_critical", "seconds_to_exhausted", "saturation_before", "users", "live_by",
)  # fmt: skip
COLUMNS = OF_HOST + OF_POOL

GATEWAY_COLUMNS = (
    "gateway", "destination", "protocol", "level", "ports", "held", "at_most_more", "live", "syn_resent", "saturation",
    "rate_per_second", "trend", "forecast_saturation", "seconds_to_critical", "seconds_to_exhausted", "hosts", "host",
    "host_held", "host_share",
)  # fmt: skip

# A report of a fleet is a hundred megabytes, written a few kilobytes at a time.
_BUFFER = 1 << 20

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_report(report: Report, directory: Path) -> list[Path]:
    """Write all of them, each either whole or not at all; the directory is made if it is missing. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    writers = _writers(report)
    for name, write in writers.items():
        with _atomically(directory / name) as file:
            write(report, file)
    return [directory / name for name in writers]


def _writers(report: Report) -> Mapping[str, Callable[[Report, TextIO], None]]:
    usual = {"report.html": write_html, "report.json": write_json, "report.csv": write_csv}
    return {**usual, "gateways.csv": write_gateways} if report["summary"]["gateways"] else usual


def write_json(report: Report, file: TextIO) -> None:
    """One line for each host: quick to write and to search, whatever the size of the fleet."""
    head = {name: value for name, value in report.items() if name != "hosts"}
    file.write("{\n")
    file.writelines(f'"{name}": {encode(value)},\n' for name, value in head.items())
    file.write('"hosts": [')
    encoder = HostEncoder()
    for index, host in enumerate(report["hosts"]):
        file.write(f"{',' if index else ''}\n{encoder.encode(host)}")
    file.write("\n]\n}\n")


def write_csv(report: Report, file: TextIO) -> None:
    """One row for each destination of each host, and one for a host without any."""
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    for host in report["hosts"]:
        rows.writerows(csv_rows(host))


def csv_rows(host: HostReport) -> Iterator[list[object]]:
    """Each with a cell for every one of COLUMNS."""
    usage, earlier, rank = latest_usage(host), pools_before(host), 0
    before = {(pool["source"], format_destination(pool)): pool["saturation"] for pool in earlier}
    first, usable, more = _of_host(host, usage)
    for one in sorted(places(usage), key=lambda one: LEVELS.index(one["level"])) if usage else ():
        own, where, there = one["namespace"]["own"], place_name(one["namespace"]), one["port_range"]["usable"]
        for pool in one["pools"]:
            rank += 1
            destination = format_destination(pool)
            was = before.pop((pool["source"], destination), None) if own and before else None
            who = "; ".join(users_of(pool, one, host["users"])), "; ".join(live_of(pool))
            yield [*first, there, *more, *_cells((where, rank, *_of_pool(pool, destination), was, *who))]
    for (source, destination), saturation in before.items():  # no longer among the most loaded
        gone = {"source": source, "destination": destination, "saturation_before": saturation}
        yield [*first, usable, *more, *_cells(map(gone.get, OF_POOL))]
    if not rank and not earlier:
        yield [*first, usable, *more, *[None] * len(OF_POOL)]


def _of_host(host: HostReport, usage: Usage | None) -> tuple[list[object], int | None, list[object]]:
    """Cells that are the same in each of its rows: those before usable_ports, that of its own, and those after it."""
    to_change = changed = kernel = ports = usable = found = unseen = None
    if host["plan"]:
        to_change = sum(one["action"] in ("set", "release") for one in host["plan"]["settings"])
    if host["changes"]:
        settings = (one for change in host["changes"] if not change["check_mode"] for one in change["settings"])
        changed = sum(one["before"] != one["after"] for one in settings)
    if usage:
        kernel, usable = usage["kernel"]["release"], usage["port_range"]["usable"]
        ports = f"{usage['port_range']['low']}-{usage['port_range']['high']}"
        found = " ".join(dict.fromkeys(finding["id"] for one in places(usage) for finding in one["findings"]))
        unseen = " ".join(one["what"] for one in usage["not_observed"])
    first = _cells((host["name"], host["state"], host["level"], host["error"], kernel, ports))
    return first, usable, _cells((found, unseen, to_change, changed))


def _of_pool(pool: Pool, destination: str) -> tuple[object, ...]:
    """Cells from kind to seconds_to_exhausted."""
    forecast, answer = pool["forecast"], pool["probe"]
    return (
        *(pool["kind"], pool["source"], destination, pool["level"], level_from(pool)),
        *((answer["errno"], answer["search_us"]) if answer else (None, None)),
        *(pool["blocked"], pool["time_wait"], pool["live"], pool["saturation"], recent_rate(pool), pool["trend"]),
        *(forecast["saturation"], forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]),
    )


def write_gateways(report: Report, file: TextIO) -> None:
    """One row for each host of each destination beyond a NAT gateway."""
    rows = csv.writer(file)
    rows.writerow(GATEWAY_COLUMNS)
    for group in report["summary"]["gateways"]:
        for one in group["destinations"]:
            forecast = one["forecast"]
            for share in one["shares"]:
                values = (
                    *(group["gateway"]["name"], one["destination"], one["protocol"], one["level"]),
                    *(one["ports"], one["held"], one["at_most"], one["live"], one["syn_resent"], one["saturation"]),
                    *(one["rate"], one["trend"], forecast["saturation"]),
                    *(forecast["seconds_to_critical"], forecast["seconds_to_exhausted"], one["hosts"]),
                    *(share["host"], share["held"], share["share"]),
                )
                rows.writerow(_cells(values))


def write_html(report: Report, file: TextIO) -> None:
    file.writelines(render(report))


def _cells(values: Iterable[object]) -> list[object]:
    return [_cell(one) if isinstance(one, str) else one for one in values]


@lru_cache(maxsize=4_096)  # hosts say the same in most of their cells
def _cell(value: str) -> str:
    """Text that a spreadsheet would run gets an apostrophe, which tells it that this is text. Readers dislike NUL."""
    text = value.replace("\0", "")
    return f"'{text}" if text.startswith(_FORMULA) else text


@contextmanager
def _atomically(path: Path) -> Iterator[TextIO]:
    """A file that takes its place once it is written, with the permissions that any new file of this user has."""
    umask = os.umask(0)
    os.umask(umask)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", _BUFFER, encoding="utf-8", errors="replace", newline="") as file:
            yield file
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

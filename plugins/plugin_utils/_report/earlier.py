# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports that were written before: of slices, of hosts that report by themselves, of other days.

Files are enough of a history: each is never changed, and is read once, host by host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from .._border import NotUnderstoodError, clean, parse
from .._model import HostReport, Usage
from .group import SCHEMA
from .host import Host
from .json_members import members

_HOSTS = "hosts"


class UnreadableError(Exception):
    """A file is no report, or cannot be read; says why."""


@dataclass
class Observation:
    """What a report says of a host. ended: when that report was made, ISO 8601 in UTC."""

    source: str
    ended: str
    host: HostReport


def find(given: Iterable[str]) -> list[Path]:
    """Files, from paths of files, of directories with a report.json, and patterns, each once. Absent ones stay."""
    found: list[Path] = []
    for text in given:
        path = Path(text).expanduser()
        if path.is_dir():
            found.append(path / "report.json")
        elif any(sign in str(path) for sign in "*?["):
            found += sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor) if path.anchor else path)))
        else:
            found.append(path)
    files = (one / "report.json" if one.is_dir() else one for one in found)
    return list(dict.fromkeys(files))


def read(path: Path) -> Iterator[Observation]:
    """A report.json, or what port_usage_info returned on one host, named by the file. Raises UnreadableError."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from _read(path, file)
    except OSError as error:
        raise UnreadableError(str(error.strerror or error)) from error
    except (NotUnderstoodError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no report: {clean(str(error), 200)}") from error


def _read(path: Path, file: TextIO) -> Iterator[Observation]:
    """Host by host. Where hosts come before what says when the report was made, the file is read twice."""
    head: dict[str, Any] = {}
    ended = None
    for name, value in members(file, _HOSTS):
        if name != _HOSTS:
            head[name] = value
        elif "schema" in head and "meta" in head:
            ended = ended or _ended(head)
            yield _observation(path, ended, value)
    if head.get("kind") == "usage":
        yield _by_itself(path, head)
    elif ended is None:
        ended = _ended(head)
        file.seek(0)
        yield from (_observation(path, ended, value) for name, value in members(file, _HOSTS) if name == _HOSTS)


def _by_itself(path: Path, usage: Mapping[str, Any]) -> Observation:
    """Of a host that reports by itself."""
    modified = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")
    host = Host(path.stem)
    host.on_usage(parse(Usage, usage))
    return Observation(str(path), modified, host.report())


def _ended(head: Mapping[str, Any]) -> str:
    schema = head.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NotUnderstoodError(
            f"its schema is {schema}, of a newer version of this collection; this one reads {SCHEMA}"
        )
    if schema != SCHEMA:
        raise NotUnderstoodError(f"its schema is {schema!r}, not {SCHEMA}")
    meta = head.get("meta")
    ended = datetime.fromisoformat(str(meta.get("ended") if isinstance(meta, Mapping) else None))
    return ended.astimezone(timezone.utc).isoformat(timespec="seconds")


def _observation(path: Path, ended: str, value: object) -> Observation:
    return Observation(str(path), ended, parse(HostReport, value))


def host_of(report: HostReport) -> Host:
    """As if it had just been heard of."""
    return Host(
        report["name"],
        usage=report["usage"],
        usage_after=report["usage_after"],
        users=report["users"],
        plan=report["plan"],
        changes=report["changes"],
        elsewhere=report["elsewhere"],
        loads=report["stress"],
        outcome=report["outcome"],
        foreseen=report["state"] == "would_change",
        error=report["error"],
        unreachable=report["state"] == "unreachable",
        gateway=report["gateway"],
    )

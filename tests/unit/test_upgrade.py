# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier version has written is read; what a later one has written is refused, by name and in words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from public_names import public_names, records, version_to_record
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import namespace_journal
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import JournalError, load_journal
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.days import compare
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.earlier import UnreadableError, read
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.merge import Merging

RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
VERSIONS = sorted(path.parent for path in (Path(__file__).parents[1] / "upgrade").glob("*/journal.json"))
of_each = pytest.mark.parametrize("version", VERSIONS, ids=[path.name for path in VERSIONS])


def private_copy(file: Path, directory: Path, **changed: Any) -> Path:
    """As a host has it: readable for its owner alone."""
    path = directory / ("namespaces" if file.stem == "namespaces" else file.name)
    path.touch(0o600)
    path.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    return path


@of_each
def test_journals_are_read(version: Path, tmp_path: Path) -> None:
    journal = load_journal(str(private_copy(version / "journal.json", tmp_path)))
    assert journal.history is not None
    assert journal.history.origin.file is None
    assert journal.history.origin.values[RANGE].split() == ["32768", "60999"]
    assert journal.history.applied.values[RESERVED] == "20000,40000"
    assert journal.history.applied.file is not None
    assert journal.history.applied.file.content == (version / "drop-in.conf").read_bytes()
    trial = load_journal(str(private_copy(version / "journal-on-trial.json", tmp_path))).trial
    assert trial is not None
    assert trial.before.values[RESERVED] == "40000"


@of_each
def test_the_journal_of_other_network_namespaces_is_read(version: Path, tmp_path: Path) -> None:
    private_copy(version / "namespaces.json", tmp_path)
    (entry,) = namespace_journal.load(str(tmp_path))
    assert entry.history is not None
    assert entry.history.applied.values == {RANGE: "10240 65535"}


@of_each
def test_a_report_is_merged_compared_and_written_anew(version: Path, tmp_path: Path) -> None:
    path = version / "report.json"
    merging = Merging()
    merging.take(path)
    report = make_report(merging.hosts, META)
    (host,) = report["hosts"]
    assert (host["name"], host["state"], host["level"]) == ("web1", "changed", "ok")
    assert host["usage"] is not None
    assert host["usage"]["sysctls"][RANGE] == "32768 60999"
    assert host["outcome"] is not None
    days = compare(report["hosts"], [path])
    assert [one["error"] for one in days["files"]] == [None]
    write_report(report, tmp_path)
    assert [look.host for look in read(tmp_path / "report.json")] == [host]


@pytest.mark.parametrize("record", records(), ids=[path.parent.name for path in records()])
def test_public_names_are_all_there_still(record: Path) -> None:
    vanished = {*record.read_text().splitlines()} - {*public_names()}
    assert not vanished, "only a major version removes or renames a public name (README, Release notes and versions)"


def test_the_names_of_a_released_version_are_not_recorded_anew(tmp_path: Path) -> None:
    (tmp_path / "galaxy.yml").write_text("version: 1.0.0\n")
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=release"], check=True)
    assert version_to_record(tmp_path) == "1.0.0"
    subprocess.run([*git, "tag", "v1.0.0"], check=True)
    with pytest.raises(SystemExit, match=r"version is 1\.0\.0, which is released"):
        version_to_record(tmp_path)


def test_the_public_names_are_recorded() -> None:
    assert records()[-1].read_text().splitlines() == public_names(), "python scripts/public_names.py --record"


@pytest.mark.parametrize(("file", "known"), [("journal.json", 3), ("namespaces.json", 1)])
def test_a_journal_of_a_newer_version_is_left_to_it(file: str, known: int, tmp_path: Path) -> None:
    path = private_copy(VERSIONS[-1] / file, tmp_path, format=known + 1, more={})
    load = namespace_journal.load if file == "namespaces.json" else load_journal
    with pytest.raises(JournalError) as refused:
        load(str(tmp_path if file == "namespaces.json" else path))
    said = f"{path} is of a newer version of this collection (format {known + 1}, and this one reads {known}); use that"
    assert str(refused.value) == f"{said} version on this host"


def test_a_report_of_a_newer_version_is_named(tmp_path: Path) -> None:
    path = private_copy(VERSIONS[-1] / "report.json", tmp_path, schema=2)
    with pytest.raises(UnreadableError, match="schema is 2, of a newer version of this collection; this one reads 1"):
        list(read(path))

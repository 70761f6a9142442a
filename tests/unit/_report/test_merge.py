# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report out of those of slices, of hosts that report by themselves, and of earlier days."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.days import compare
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.earlier import find, host_of, read
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.merge import Merging
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.merged import told_of_days, told_of_merged

from .hearing import APPLY, CHANGE, EXHAUSTED, IDLE, LOAD, LOOK, PLAN, STRESS, fleet_of, outcome

DAY = "2026-11-{:02}T06:00:00+00:00"


def written(directory: Path, *events: Any, day: int = 1, lost: str = "") -> Path:
    fleet = fleet_of(*events)
    if lost:
        fleet.on_failure(lost, [], "No route to host", unreachable=True)
    write_report(make_report(fleet.hosts, {**META, "ended": DAY.format(day)}), directory)
    return directory / "report.json"


def merged(*paths: Path) -> tuple[Merging, Any]:
    merging = Merging()
    for path in paths:
        merging.take(path)
    return merging, make_report(merging.hosts, META)


def test_slices_give_what_one_run_would(tmp_path: Path) -> None:
    """Whatever is known of a host, and the same groups."""
    events = [
        ("web1", LOOK, EXHAUSTED),
        ("web2", LOOK, IDLE),
        ("web2", APPLY, CHANGE),
        ("web2", STRESS, LOAD),
        ("web2", "netops.ephemeral_ports.rollout_host", outcome("changed", wave=1)),
        ("web3", LOOK, IDLE),
        ("web3", "netops.ephemeral_ports.remediation", {"kind": "plan", **PLAN}),
    ][:6]
    whole = make_report(fleet_of(*events).hosts, META)
    _merging, found = merged(
        written(tmp_path / "a", *[one for one in events if one[0] == "web1"]),
        written(tmp_path / "b", *[one for one in events if one[0] != "web1"]),
    )
    assert found["hosts"] == whole["hosts"]
    assert found["summary"] == whole["summary"]


def test_a_lost_host_stays_lost(tmp_path: Path) -> None:
    _merging, found = merged(written(tmp_path / "a", ("web1", LOOK, IDLE), lost="web2"))
    assert [(one["state"], one["reason"], one["names"]) for one in found["summary"]["lost"]] == [
        ("unreachable", "No route to host", ["web2"])
    ]


def test_the_newest_observation_counts_whatever_the_order(tmp_path: Path) -> None:
    old = written(tmp_path / "a", ("web1", LOOK, IDLE), ("web2", LOOK, IDLE), day=1)
    new = written(tmp_path / "b", ("web1", LOOK, EXHAUSTED), day=2)
    for paths in ((old, new), (new, old)):
        merging, found = merged(*paths)
        assert [host["level"] for host in found["hosts"]] == ["exhausted", "ok"]
        (clash,) = merging.told([])["clashes"]
        assert (clash["host"], sorted(clash["files"]), clash["counts"]) == ("web1", [str(old), str(new)], str(new))


def test_gaps_are_named(tmp_path: Path) -> None:
    whole = written(tmp_path / "a", ("web1", LOOK, IDLE), ("web2", LOOK, IDLE))
    cut = tmp_path / "cut.json"
    cut.write_text("".join(whole.read_text().splitlines(keepends=True)[:-3]))
    odd, other, absent = tmp_path / "odd.json", tmp_path / "other.json", tmp_path / "absent/report.json"
    odd.write_text("[1, 2]")
    other.write_text(whole.read_text().replace('"schema": 1', '"schema": 2'))
    merging, _found = merged(cut, odd, other, absent)
    told = merging.told(["web1", "web2", "web3"])
    assert [(one["hosts"], one["error"]) for one in told["files"]] == [
        (1, "it is no report: it ends too early"),
        (0, "it is no report: expected a dictionary"),
        (0, "it is no report: its schema is 2, of a newer version of this collection; this one reads 1"),
        (0, "No such file or directory"),
    ]
    assert told["missing"] == ["web2", "web3"]
    text = " ".join(told_of_merged(told))
    assert "2 hosts of the inventory in no report: web[2:3]." in text
    assert f"{cut} is missing: it is no report: it ends too early, 1 host of it counted." in text


def test_a_host_that_reports_by_itself(tmp_path: Path) -> None:
    """What port_usage_info returned, as a file that is called as the host is."""
    path = tmp_path / "web7.json"
    path.write_text(json.dumps(EXHAUSTED, indent=2))
    os.utime(path, (1_800_000_000, 1_800_000_000))
    (one,) = read(path)
    assert (one.host["name"], one.host["level"], one.ended) == ("web7", "exhausted", "2027-01-15T08:00:00+00:00")


@pytest.mark.parametrize("sort_keys", [False, True], ids=["as it was", "hosts first"])
def test_a_report_that_another_program_has_written(tmp_path: Path, sort_keys: bool) -> None:
    path = written(tmp_path / "a", ("web1", LOOK, EXHAUSTED))
    pretty = tmp_path / "pretty.json"
    pretty.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=sort_keys))
    assert [one.host for one in read(pretty)] == [one.host for one in read(path)]
    assert host_of(next(read(pretty)).host).report() == next(read(path)).host


def test_what_a_report_may_say(tmp_path: Path) -> None:
    """It comes from elsewhere: what is not of the types of a report is none."""
    path = written(tmp_path / "a", ("web1", LOOK, IDLE))
    path.write_text(path.read_text().replace('"level": "ok"', '"level": "<b>"', 1))
    merging, _found = merged(path)
    assert "expected one of exhausted" in str(merging.files[0]["error"])


def test_files_directories_and_patterns(tmp_path: Path) -> None:
    one, two = (written(tmp_path / name, ("web1", LOOK, IDLE)) for name in ("slice1", "slice2"))
    assert find([str(tmp_path / "slice1")]) == [one]
    assert find([str(tmp_path / "slice*")]) == [one, two]
    assert find([str(tmp_path / "*" / "report.json"), str(one)]) == [one, two]
    assert find([str(tmp_path / "absent.json")]) == [tmp_path / "absent.json"]


def loaded(saturation: float) -> Any:
    usage = copy.deepcopy(EXHAUSTED)
    usage["pools"] = usage["pools"][:1]
    usage["pools"][0]["saturation"] = saturation
    return {**usage, "level": "ok", "own_level": "ok", "findings": []}


def test_what_has_changed(tmp_path: Path) -> None:
    first = written(tmp_path / "1", ("web1", LOOK, EXHAUSTED), ("web2", LOOK, IDLE), ("web3", LOOK, loaded(0.1)), day=1)
    second = written(
        *(tmp_path / "2", ("web1", LOOK, EXHAUSTED), ("web2", LOOK, IDLE), ("web3", LOOK, loaded(0.2))),
        ("old", LOOK, IDLE),
        day=2,
    )
    now = make_report(
        fleet_of(
            ("web1", LOOK, IDLE), ("web2", LOOK, EXHAUSTED), ("web3", LOOK, loaded(0.3)), ("more", LOOK, IDLE)
        ).hosts,
        META,
    )["hosts"]
    days = compare(now, [second, first])
    assert days["days"] == ["2026-11-01", "2026-11-02"]
    assert days["worse"] == [{"host": "web2", "before": "ok", "after": "exhausted"}]
    assert days["better"] == [{"host": "web1", "before": "exhausted", "after": "ok"}]
    assert {one["id"] for one in days["new"]} == {one["id"] for one in EXHAUSTED["findings"]}
    assert {(one["first_seen"], *one["names"]) for one in days["new"]} == {(None, "web2")}
    assert {(one["first_seen"], *one["names"]) for one in days["gone"]} == {(DAY.format(1), "web1")}
    (growing,) = (one for one in days["growing"] if one["host"] == "web3")
    assert growing["saturations"] == [0.1, 0.2, 0.3]
    assert (days["appeared"], days["disappeared"]) == (["more"], ["old"])
    text = told_of_days(days)
    assert text[0] == "Since 2026-11-02 (and 1 day before, from 2026-11-01 on):"
    assert "worse: 1 host from ok to exhausted: web2" in text
    assert "growing: web3 towards 198.18.0.1:8443: 10%, 20%, 30%" in text


@pytest.mark.parametrize(("saturations", "grows"), [((0.1, 0.2), True), ((0.3, 0.2), False), ((0.2, 0.21), False)])
def test_what_grows(tmp_path: Path, saturations: tuple[float, float], grows: bool) -> None:
    before = written(tmp_path / "1", ("web1", LOOK, loaded(saturations[0])))
    now = make_report(fleet_of(("web1", LOOK, loaded(saturations[1]))).hosts, META)["hosts"]
    assert bool(compare(now, [before])["growing"]) == grows


def test_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    before = written(tmp_path / "1", ("web1", LOOK, IDLE))
    merging, report = merged(written(tmp_path / "2", ("web1", LOOK, EXHAUSTED), day=2))
    report["merged"], report["days"] = merging.told(["web1", "web9"]), compare(report["hosts"], [before])
    lines = [line.text for line in summary_lines(report, 100)]
    assert "Put together from 1 report." in lines
    assert "  worse: 1 host from ok to exhausted: web1" in lines
    write_report(report, tmp_path / "3")
    assert "<strong>worse</strong> 1 host from ok to exhausted: web1" in (tmp_path / "3/report.html").read_text()
    # It can be merged itself.
    assert [one.host["name"] for one in read(tmp_path / "3/report.json")] == ["web1"]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json, report.csv and report.html as files; the page itself is looked at in tests/integration."""

from __future__ import annotations

import copy
import csv
import html.parser
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_fleet import META, RECORDED, make_fleet

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Usage
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import files
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import page as report_page
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.encode import HostEncoder
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import (
    COLUMNS,
    write_csv,
    write_json,
    write_report,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.host import Host
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import render
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.wording import format_count

NAMES = ["report.csv", "report.html", "report.json"]
LOOK, APPLY = "netops.ephemeral_ports.port_usage_info", "netops.ephemeral_ports.sysctl_dropin"
MARKUP = "<script>alert(1)</script>&\"'"


def report_of(number: int, remediate: bool = False) -> dict[str, Any]:
    return make_report(make_fleet(number, remediate=remediate).hosts, META)


def rows(report: dict[str, Any]) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    write_csv(report, file)
    file.seek(0)
    return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["web1", 'web\0"', "\0", "web1\0", '"\0"'])
def test_json_is_that_of_python_whatever_hosts_are_called(name: str) -> None:
    report = report_of(60, remediate=True)
    for host in report["hosts"]:
        host["name"] = name
    file = io.StringIO()
    write_json(report, file)
    lines = [line.removesuffix(",") for line in file.getvalue().partition('"hosts": [\n')[2].split("\n")[:60]]
    assert lines == [json.dumps(host) for host in report["hosts"]]


def test_what_hosts_have_in_common_is_encoded_once() -> None:
    report, encoder = report_of(600, remediate=True), HostEncoder()
    for host in report["hosts"]:
        encoder.encode(host)
    assert 10 < len(encoder._texts) < 100


def test_all_three_are_written(tmp_path: Path) -> None:
    written = write_report(report_of(20), tmp_path / "new" / "reports")
    assert sorted(path.name for path in (tmp_path / "new" / "reports").iterdir()) == NAMES
    assert sorted(path.name for path in written) == NAMES


def test_a_container_of_a_host_is_named_everywhere() -> None:
    """The host is healthy, a container on it has no port left."""
    owner = {"kind": "podman", "name": "web1", "id": "1", "container": None}
    names = {"own": False, "inode": 7, "cookie": None, "name": None, "owner": owner, "pid": 1, "program": "nginx"}
    idle, full = RECORDED["usage"]["idle"], RECORDED["usage"]["exhausted"]
    usage = {**idle, "level": "exhausted", "namespaces": [{**full, "namespace": names}], "namespaces_observed": 1}
    host = Host("web", usage=parse(Usage, usage))
    report = make_report({"web": host}, META)
    first = rows(report)[0]
    assert (first["level"], first["namespace"], first["destination_rank"]) == ("exhausted", "podman web1", "1")
    assert "destination-exhausted" in first["findings"]
    (group,) = (one for one in report["summary"]["findings"] if one["id"] == "destination-exhausted")
    assert group["examples"][0]["summary"].startswith("podman web1: ")
    assert report["summary"]["destinations"][0]["level"] == "exhausted"
    page = "".join(render(report))
    assert "in podman web1</span>" in page
    assert "EXHAUSTED in podman web1: " in page
    assert "web, podman web1" in "\n".join(line.text for line in summary_lines(report))


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        written = write_report(report_of(5), tmp_path)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in written] == [0o640] * 3


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(report_of(5), tmp_path)
    before = (tmp_path / "report.json").read_text()

    def half(_report: object, file: io.TextIOBase) -> None:
        file.write("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", half)
    with pytest.raises(OSError, match="No space left"):
        write_report(report_of(20), tmp_path)
    assert (tmp_path / "report.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES


@given(st.text())
def test_json_is_the_report(name: str) -> None:
    fleet = Fleet()
    fleet.on_task(LOOK)
    fleet.on_result("web1", LOOK, RECORDED["usage"]["exhausted"])
    fleet.on_failure(name, [], name, unreachable=False)
    report = make_report(fleet.hosts, META)
    file = io.StringIO()
    write_json(report, file)
    assert json.loads(file.getvalue()) == report
    assert sum(line.startswith('{"name"') for line in file.getvalue().split("\n")) == 2  # one line for each host


def test_csv_has_a_row_for_each_destination_and_one_for_hosts_without() -> None:
    report = report_of(40)
    expected = [
        (host["name"], str(rank) if rank else "")
        for host in report["hosts"]
        for rank in (range(1, len(host["usage"]["pools"]) + 1) if host["usage"] else ()) or [0]
    ]
    assert [(row["host"], row["destination_rank"]) for row in rows(report)] == expected
    assert tuple(rows(report)[0]) == COLUMNS


def test_csv_values() -> None:
    fleet = Fleet()
    fleet.on_task(LOOK)
    recorded = RECORDED["remediated"]
    for action, result in ((LOOK, recorded["usage"]), (APPLY, recorded["changes"][0]), (LOOK, recorded["usage_after"])):
        fleet.on_result("web1", action, result)
    before = {f"{one['address']}:{one['port']}": one["saturation"] for one in recorded["usage"]["pools"]}
    found = rows(make_report(fleet.hosts, META))
    now = recorded["usage_after"]["pools"]
    assert [row["saturation"] for row in found[: len(now)]] == [str(one["saturation"]) for one in now]
    assert {row["destination"]: float(row["saturation_before"]) for row in found if row["saturation_before"]} == before
    assert len({row["destination"] for row in found}) == len(found)
    first = found[0]
    assert (first["state"], first["level"], first["settings_changed"], first["settings_to_change"]) == (
        "changed",
        "ok",
        "2",
        "",
    )
    assert (first["kernel"], first["port_range"], first["usable_ports"]) == (
        recorded["usage"]["kernel"]["release"],
        "10240-65535",
        "55296",
    )
    assert {row["not_observed"] for row in found} == {"namespaces"}


@given(st.text(max_size=5), st.sampled_from(["\0=", "=", "+", "-", "@", "\t", "\r", "\n"]))
def test_a_spreadsheet_finds_no_formula(rest: str, sign: str) -> None:
    fleet = Fleet()
    fleet.on_task(LOOK)
    name = f"{sign}{rest}"
    fleet.on_failure(name, [], f"{sign}cmd|' /C calc'!A0", unreachable=False)
    (row,) = rows(make_report(fleet.hosts, META))
    assert row["host"] == f"'{name}".replace("\0", "")
    assert not row["error"].startswith(("=", "+", "-", "@"))


class Reader(html.parser.HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(report: dict[str, Any]) -> str:
    return "".join(render(report))


@settings(max_examples=50)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=30))
def test_names_and_messages_are_text(text: str) -> None:
    """As many elements and attributes as with harmless words, and the text is there."""

    def read(name: str, message: str) -> Reader:
        fleet = Fleet()
        fleet.on_task(LOOK)
        fleet.on_failure(name, [], f"x{message}x", unreachable=False)
        return Reader(page(make_report(fleet.hosts, META)))

    harmless, given_text = read("web", "gone"), read(f"{text}{MARKUP}", f"{text}{MARKUP}")
    assert given_text.tags == harmless.tags
    assert [name for name, _value in given_text.attributes] == [name for name, _value in harmless.attributes]
    assert MARKUP in given_text.text


def test_what_hosts_say_is_text_everywhere() -> None:
    """Every string of every result carries markup, keys of sysctls too."""

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poison(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [poison(one, key) for one in value]
        codes = ("level", "severity", "action", "status", "method", "state", "trend", "file")
        return f"{value}{MARKUP}" if isinstance(value, str) and key not in codes else value

    fleet = make_fleet(12, remediate=True)
    harmless = Reader(page(make_report(fleet.hosts, META)))
    for host in fleet.hosts.values():
        for name in ("usage", "usage_after", "plan", "changes", "outcome", "error"):
            setattr(host, name, poison(getattr(host, name), name))
    poisoned = Reader(page(make_report(fleet.hosts, {**META, "playbooks": [MARKUP], "collection": MARKUP})))
    assert poisoned.tags.count("script") == harmless.tags.count("script") == 1
    assert set(poisoned.tags) == set(harmless.tags)
    assert poisoned.text.count("alert(1)") > 100
    assert not [value for name, value in poisoned.attributes if name.startswith("on")]


def test_only_seen_after_the_change() -> None:
    fleet = Fleet()
    fleet.on_task(LOOK)
    fleet.on_result("web1", APPLY, RECORDED["remediated"]["changes"][0])
    fleet.on_result("web1", LOOK, RECORDED["usage"]["exhausted"])
    report = make_report(fleet.hosts, META)
    assert (report["hosts"][0]["usage"], report["hosts"][0]["usage_after"]["level"]) == (None, "exhausted")
    assert Reader(page(report)).attributes.count(("class", "more")) == 1
    assert [row["saturation_before"] for row in rows(report)] == [""] * len(rows(report))


def test_the_worst_finding_colours_the_row() -> None:
    usage = copy.deepcopy(RECORDED["usage"]["exhausted"])
    for finding, severity in zip(usage["findings"], ["info", "warning"] * len(usage["findings"]), strict=False):
        finding["severity"] = severity
    fleet = Fleet()
    fleet.on_task(LOOK)
    fleet.on_result("web1", LOOK, usage)
    (row,) = report_page.view(make_report(fleet.hosts, META))["rows"]
    assert row["severity"] == "warning"


ANSWERS: list[tuple[dict[str, Any] | None, str, str, list[str]]] = [
    (None, "not asked", "count", ["", ""]),
    (
        {"errno": 99, "lacks": "port", "source": None, "port": None, "search_us": 6200.0, "asked": 1},
        "no port in 6.2 ms (errno 99)",
        "kernel",
        ["99", "6200.0"],
    ),
    (
        {"errno": 0, "lacks": None, "source": "198.18.0.1", "port": 32769, "search_us": 240.4, "asked": 3},
        "found a port in 240 us",
        "kernel",
        ["0", "240.4"],
    ),
    (
        {"errno": 99, "lacks": "address", "source": None, "port": None, "search_us": None, "asked": 1},
        "no address (errno 99)",
        "kernel",
        ["99", ""],
    ),
]


@pytest.mark.parametrize(("answer", "words", "level_from", "cells"), ANSWERS)
def test_what_the_kernel_said_is_on_the_page_and_in_the_table(
    answer: dict[str, Any] | None, words: str, level_from: str, cells: list[str]
) -> None:
    usage = copy.deepcopy(RECORDED["usage"]["critical"])
    usage["pools"][0]["probe"] = answer
    fleet = Fleet()
    fleet.on_task(LOOK)
    fleet.on_result("web1", LOOK, usage)
    report = make_report(fleet.hosts, META)
    assert f"{words}level by the {level_from}" in Reader(page(report)).text
    row = rows(report)[0]
    assert row["level_from"] == level_from
    assert [row["probe_errno"], row["search_us"]] == cells


@pytest.mark.parametrize(("two_pass", "marks"), [(True, True), (False, False)])
def test_half_of_the_ports_is_marked_where_connect_becomes_slow_there(two_pass: bool, marks: bool) -> None:
    """Not before Linux 4.6, whose search has one pass."""
    usage = copy.deepcopy(RECORDED["usage"]["exhausted"])
    usage["kernel"]["two_pass_port_search"]["supported"] = two_pass
    fleet = Fleet()
    fleet.on_task(LOOK)
    fleet.on_result("web1", LOOK, usage)
    reader = Reader(page(make_report(fleet.hosts, META)))
    assert (("class", "half") in reader.attributes) is marks
    assert (("class", "grid half") in reader.attributes) is marks
    assert ("connect() becomes slow" in reader.text) is marks


def test_the_page_asks_for_nothing() -> None:
    text = page(report_of(50, remediate=True))
    reader = Reader(text)
    links = {value for name, value in reader.attributes if name in ("href", "src", "action", "data")}
    assert {link for link in links if link and not link.startswith("#")} == {"data:,", "report.json", "report.csv"}
    assert not re.search(r"@import|url\(|https?:", text)
    policy = next(value for _name, value in reader.attributes if value and value.startswith("default-src"))
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; img-src data:; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )
    assert not {name for name, _value in reader.attributes} & {"style", "onclick", "onload"}


def test_a_large_fleet_is_cut_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "ROWS", 30)
    monkeypatch.setattr(report_page, "DETAILED", 5)
    monkeypatch.setattr(report_page, "BARS", 10)
    text = page(report_of(100))
    reader = Reader(text)
    identifiers = [value for name, value in reader.attributes if name == "id" and (value or "").startswith("host-")]
    assert len(identifiers) == 30
    assert reader.attributes.count(("class", "more")) == 5
    assert "70 hosts that need less attention are only in report.json and report.csv." in reader.text
    assert "each bar is the highest of 10 hosts" in reader.text
    targets = [
        value[1:] for name, value in reader.attributes if name == "href" and value and value.startswith("#host-")
    ]
    assert targets
    assert set(targets) <= set(identifiers)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (7, "7"), (28232, "28,232"), (8.33, "8.3"), (55296.0, "55,296"), (470.5, "470")]
)
def test_numbers(value: float, text: str) -> None:
    assert format_count(value) == text


def test_forecasts_are_sorted_by_what_comes_first() -> None:
    def key(saturation: float, critical: float | None, exhausted: float | None) -> float:
        return report_page._urgency(
            {"saturation": saturation, "seconds_to_critical": critical, "seconds_to_exhausted": exhausted}
        )

    keys = [
        key(1.3, 0.0, 0.0),
        key(0.9, 0.0, 0.0),
        key(1.1, 2.0, 10.0),
        key(2.0, 2.0, 40.0),
        key(0.6, 5.0, None),
        key(0.9, 50.0, None),
        key(0.9, None, None),
        key(0.2, None, None),
    ]
    assert keys == sorted(keys, reverse=True)

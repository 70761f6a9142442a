# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard is what its script makes; tests/integration/test_watch_chain.py tries its queries on Prometheus."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("grafana_foundation_sdk")  # not where only ansible-core is another

import dashboard_file
import draw_dashboard
import make_dashboard

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import metrics

MADE = make_dashboard.make()


def test_the_file_is_what_the_script_makes() -> None:
    assert dashboard_file.FILE.read_text() == MADE


def test_queries_read_metrics_that_there_are() -> None:
    known = {f"{metrics.PREFIX}{family.name}" for family in metrics.Metrics().families()}
    read = {name for query in dashboard_file.queries(MADE) for name in re.findall(r"\bephemeral_ports_\w+", query)}
    assert read
    assert read <= known


def test_every_panel_has_a_title_of_its_own_and_reads_the_source_that_is_chosen() -> None:
    panels = [panel for panel in json.loads(MADE)["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_every_level_has_a_word_and_a_colour() -> None:
    assert {*make_dashboard.LEVELS} == {str(number) for number in metrics.LEVELS.values()}
    assert {word for word, _colour in make_dashboard.LEVELS.values()} == {*metrics.LEVELS}


def test_the_picture_shows_every_panel() -> None:
    drawn = draw_dashboard.draw()
    titles = [panel["title"] for panel in json.loads(MADE)["panels"]]
    assert len(titles) > 15
    assert [one for one in titles if f">{one}</text>" not in drawn] == []


def test_the_picture_is_of_the_answers_to_these_queries() -> None:
    """If not: python tests/benchmark/dashboard_course.py, then python scripts/draw_images.py."""
    course = json.loads(draw_dashboard.COURSE.read_text())
    assert {*course["answers"]} == {*dashboard_file.queries(MADE)}
    assert sum(map(bool, course["answers"].values())) >= len(course["answers"]) - 1  # none of the hosts translates
    instant = {draw_dashboard.asked(one) for panel in json.loads(MADE)["panels"] for one in panel.get("targets", ())
               if one.get("instant")}  # fmt: skip
    for query, series in course["answers"].items():
        assert {"value" in one for one in series} <= {query in instant}, query
        lengths = {len(one["values"]) for one in series if "values" in one}
        assert lengths <= {course["seconds"] // course["step"] + 1}, query


def test_a_panel_without_data_says_so() -> None:
    board, course = json.loads(MADE), json.loads(draw_dashboard.COURSE.read_text())
    nothing = draw_dashboard.drawn(board, {**course, "answers": dict.fromkeys(course["answers"], ())})
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert nothing.count(">No data</text>") + nothing.count(">none expected</text>") == len(panels)

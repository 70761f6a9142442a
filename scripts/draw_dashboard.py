# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the dashboard of monitoring/ as Grafana lays it out, with what a real Prometheus answered to its queries.

Titles, places, units, thresholds and words come from the dashboard itself, the answers from
tests/benchmark/dashboard_course.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dashboard_file import FILE, with_all_hosts
from svg import box, line, picture, text

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "tests" / "benchmark" / "dashboard_course.json"

MARGIN, TOP, COLUMN, ROW, GAP = 16, 66, 40, 23, 8
COLOURS = ("blue", "orange", "green", "violet", "red", "yellow", "grey")
NAMED = {"green": "green", "yellow": "yellow", "orange": "orange", "red": "red"}
LETTER, LEGEND_ROW = 6.4, 17
Json = Mapping[str, Any]


class Place(NamedTuple):
    """Where a panel is, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Scale(NamedTuple):
    """From 0 to a value over a height; marks: where there are lines."""

    most: float
    marks: Sequence[float]


def draw() -> str:
    return drawn(json.loads(FILE.read_text()), json.loads(COURSE.read_text()))


def drawn(board: Json, course: Json) -> str:
    places = [one["gridPos"] for one in board["panels"]]
    bottom = TOP + ROW * max(one["y"] + one["h"] for one in places)
    words = f"Three hosts of 500 ports under load; Linux {course['kernel']}, {course['date']}, {course['seconds']} s"
    parts = [text(MARGIN, 30, board["title"], "title"), text(MARGIN, 50, words, "small")]
    for panel in board["panels"]:
        parts += _panel(panel, course)
    title = "The dashboard: hosts in trouble, their pools, findings, and what the watching costs"
    return picture(2 * MARGIN + 24 * COLUMN - GAP, bottom + MARGIN - GAP, title, parts)


def _panel(panel: Json, course: Json) -> Iterator[str]:
    at = panel["gridPos"]
    x, y = MARGIN + COLUMN * at["x"], TOP + ROW * at["y"]
    if panel["type"] == "row":
        yield text(x, y + 16, panel["title"], "bold")
        return
    place = Place(x, y, COLUMN * at["w"] - GAP, ROW * at["h"] - GAP)
    yield box(*place, "panel")
    yield text(x + 12, y + 20, panel["title"])
    answers = [
        (one, series) for one in panel["targets"] for series in sorted(course["answers"][asked(one)], key=_by_host)
    ]
    kind = {"stat": _stat, "table": _table, "timeseries": _course}[panel["type"]]
    yield from kind(panel, place, answers, course) if answers else _no_data(panel, place)


def _by_host(series: Json) -> tuple[str, str]:
    """So that a host has the same colour in all panels."""
    return series["labels"].get("inventory_hostname", ""), str(series["labels"])


def asked(target: Json) -> str:
    """The query as it was recorded: for all hosts."""
    return with_all_hosts(target["expr"])


def _no_data(panel: Json, place: Place) -> Iterator[str]:
    words = _defaults(panel).get("noValue", "No data")
    yield text(place.x + place.width / 2, place.y + place.height / 2 + 12, words, "middle small")


def _stat(panel: Json, place: Place, answers: Sequence[Any], _course: Json) -> Iterator[str]:
    ((_target, series),) = answers
    value, middle = series["value"], place.x + place.width / 2
    yield text(
        middle, place.y + place.height / 2 + 20, _told(panel, value), f"large middle filled {_colour(panel, value)}"
    )


def _table(panel: Json, place: Place, answers: Sequence[Any], _course: Json) -> Iterator[str]:
    hidden = {
        name
        for one in panel["transformations"]
        if one["id"] == "organize"
        for name, is_hidden in one["options"]["excludeByName"].items()
        if is_hidden
    }
    rows = sorted((series for _target, series in answers), key=lambda one: -one["value"])
    names = sorted({name for row in rows for name in row["labels"]} - hidden)
    width = (place.width - 24) / (len(names) + 1)
    for column, name in enumerate([*names, "Value"]):
        yield text(place.x + 12 + column * width, place.y + 46, name, "small bold")
    for number, row in enumerate(rows):
        y = place.y + 70 + 22 * number
        yield line([(place.x + 12, y - 16), (place.x + place.width - 12, y - 16)], "grid")
        for column, name in enumerate(names):
            yield text(place.x + 12 + column * width, y, row["labels"].get(name, ""), "small")
        yield text(place.x + 12 + len(names) * width, y, _told(panel, row["value"]), "small")


def _course(panel: Json, place: Place, answers: Sequence[Any], course: Json) -> Iterator[str]:
    labels = [_legend(target, series) for target, series in answers]
    entries = list(_flow(labels, place))
    legend_top = place.y + place.height - 10 - LEGEND_ROW * (1 + max(row for row, _x in entries))
    left, right = place.x + 84, place.x + place.width - 14
    top, bottom = place.y + 36, legend_top - 30
    scale = _scale(panel, [value for _target, series in answers for value in series["values"] if value is not None])

    def point(second: float, value: float) -> tuple[float, float]:
        return left + (right - left) * second / course["seconds"], bottom - (bottom - top) * value / scale.most

    for mark in scale.marks:
        yield line([point(0, mark), point(course["seconds"], mark)], "grid")
        yield text(left - 8, point(0, mark)[1] + 4, _told(panel, mark), "small end")
    for second in range(0, course["seconds"], 10):
        yield text(point(second, 0)[0], bottom + 16, f"{second} s", "small middle")
    for value, colour in _dashed(panel):
        yield line([point(0, value), point(course["seconds"], value)], f"thin drawn {colour}")
    for number, (_target, series) in enumerate(answers):
        colour = COLOURS[number % len(COLOURS)]
        for stretch in _stretches(series["values"]):
            points = [point(index * course["step"], value) for index, value in stretch]
            area = [(points[0][0], bottom), *points, (points[-1][0], bottom)]
            yield line(area, f"fill filled {colour}")
            yield line(points, f"line drawn {colour}")
    for number, (words, (row, x)) in enumerate(zip(labels, entries, strict=True)):
        y = legend_top + LEGEND_ROW * row
        yield line([(x, y + 4), (x + 14, y + 4)], f"line drawn {COLOURS[number % len(COLOURS)]}")
        yield text(x + 20, y + 8, words, "small")


def _legend(target: Json, series: Json) -> str:
    return re.sub(r"\{\{(\w+)}}", lambda name: str(series["labels"].get(name[1], "")), target["legendFormat"])


def _flow(labels: Sequence[str], place: Place) -> Iterator[tuple[int, float]]:
    """Row and left end of each entry of a legend."""
    row, x = 0, place.x + 12
    for words in labels:
        width = 38 + LETTER * len(words)
        if x + width > place.x + place.width and x > place.x + 12:
            row, x = row + 1, place.x + 12
        yield row, x
        x += width


def _scale(panel: Json, values: Sequence[float]) -> Scale:
    most = max(values, default=0) or 1.0
    if _words_of_values(panel):
        return Scale(3.15, (0, 1, 2, 3))
    if _defaults(panel).get("unit") == "percentunit":
        return Scale(max(1.05, most), (0, 0.25, 0.5, 0.75, 1))
    power = 10.0 ** math.floor(math.log10(most / 3))
    step = next(one * power for one in (1, 2, 5, 10) if one * power * 4 >= most)
    return Scale(most * 1.05, [step * index for index in range(int(most * 1.05 / step) + 1)])


def _stretches(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Without a gap, of two points at least."""
    found: list[tuple[int, float]] = []
    for index, value in enumerate([*values, None]):
        if value is not None:
            found.append((index, value))
            continue
        if len(found) > 1:
            yield found
        found = []


def _dashed(panel: Json) -> Iterator[tuple[float, str]]:
    style = _defaults(panel).get("custom", {}).get("thresholdsStyle", {}).get("mode")
    if style == "dashed":
        for step in _defaults(panel)["thresholds"]["steps"]:
            if step["value"]:
                yield step["value"], NAMED.get(step["color"], "grey")


def _colour(panel: Json, value: float) -> str:
    """That of the mapping, else that of the last threshold that the value reaches."""
    steps = _defaults(panel)["thresholds"]["steps"]
    reached = [one["color"] for one in steps if one["value"] is None or value >= one["value"]][-1]
    return NAMED.get(_words_of_values(panel).get(f"{value:g}", {}).get("color", reached), "grey")


def _told(panel: Json, value: float) -> str:
    """With its unit, or as the word for it."""
    word = _words_of_values(panel).get(f"{value:g}")
    if word:
        return str(word["text"])
    unit = _defaults(panel).get("unit")
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        return _seconds(value)
    return f"{value:g}"


def _seconds(value: float) -> str:
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or not value:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.3g} ns"


def _words_of_values(panel: Json) -> dict[str, Any]:
    return {value: word for one in _defaults(panel).get("mappings", ()) for value, word in one["options"].items()}


def _defaults(panel: Json) -> Json:
    found: Json = panel["fieldConfig"]["defaults"]
    return found

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the pictures in docs/images. They carry their own background and follow the reader's light or dark scheme.

usage: python scripts/draw_images.py
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import draw_dashboard
from svg import box, line, picture, text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
CURVE_DATA = ROOT / "tests" / "benchmark" / "connect_curve.json"

# --- one connection, and when its port is free again ---------------------------------------------------------------

BEGIN, MINUTE, WIDE = 164, 704, 760


def lifetime() -> str:
    """Three connections of the same kind, and for how long each holds its local port."""

    def row(y: int, name: str, words: str, held_until: int, note: str) -> Iterator[str]:
        yield text(24, y + 13, name)
        yield text(24, y + 30, words, "small")
        yield box(BEGIN, y, 40, 22, "live")
        yield box(BEGIN + 40, y, held_until - BEGIN - 40, 22, "wait")
        if held_until < MINUTE:
            yield box(held_until, y, MINUTE - held_until, 22, "free cell")
        yield text(held_until + 8 if held_until < MINUTE else BEGIN + 52, y + 38, note, "small")

    parts = [
        text(24, 34, "One short connection, and how long its local port is taken", "title"),
        *row(64, "tcp_tw_reuse = 0", "or 2, not loopback", MINUTE, "TIME_WAIT: 60 s on mainline Linux"),
        *row(128, "tcp_tw_reuse = 1", "with timestamps", BEGIN + 49, "free for the next connect() there"),
    ]
    for seconds in (0, 1, 10, 20, 30, 40, 50, 60):
        x = BEGIN + 40 + seconds * (MINUTE - BEGIN - 40) / 60
        parts.append(line([(x, 186), (x, 192)], "axis"))
        parts.append(text(x + (4 if seconds == 1 else 0), 207, f"{seconds}", "small middle"))
    parts += [
        line([(BEGIN, 186), (MINUTE, 186)], "axis"),
        text(MINUTE + 10, 207, "s", "small"),
        text(BEGIN + 40, 226, "seconds after close()", "small"),
        *legend(24, 258, (("live", "established"), ("wait", "TIME_WAIT: connect() cannot take the port"))),
    ]
    return picture(WIDE, 284, "How long a closed connection holds its local port", parts)


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    for kind, words in entries:
        yield box(x, y - 11, 13, 13, f"{kind} cell")
        yield text(x + 20, y, words, "small")
        x += 46 + 6.6 * len(words)


# --- how connect() looks for a port ---------------------------------------------------------------------------------

COLUMNS, CELL, START = 32, 19, 6


def search() -> str:
    """The range below and past half: where the search begins, and what it has to pass."""
    parts = [text(24, 34, "How connect() looks for a local port (Linux 4.6 and newer)", "title")]
    below = "Pass 1 tries every second port from a random start, and soon meets a free one."
    past = "Pass 1 tries all of them in vain; then pass 2 tries the others."
    parts += strip(60, "Below half", below, 0.6, 0.0)
    parts += strip(196, "Past half", past, 1.0, 0.25)
    entries = (("free", "free"), ("wait", "TIME_WAIT towards this destination"), ("skip", "reserved: never tried"))
    parts += legend(24, 338, entries)
    return picture(WIDE, 364, "How connect() searches the port range in two passes", parts)


def strip(y: int, name: str, words: str, first_taken: float, second_taken: float) -> Iterator[str]:
    """Two rows of ports: those with the parity of the first port of the range, and the others."""
    chance = random.Random(7)
    yield text(24, y, name)
    yield text(110, y, words, "small")
    for row, (label, taken) in enumerate((("32768, 32770, …", first_taken), ("32769, 32771, …", second_taken))):
        top = y + 14 + row * 44
        yield text(24, top + 14, label, "small")
        kinds = ["wait" if chance.random() < taken else "free" for _cell in range(COLUMNS)]
        if taken < 1:
            kinds[START : START + 3] = ["wait", "wait", "free"] if taken else ["free"] * 3
        kinds[21] = "skip"
        for column, kind in enumerate(kinds):
            yield box(140 + column * (CELL - 1), top, CELL - 3, 20, f"{kind} cell")
        if row == 0 or first_taken >= 1:
            hit = START + 2 if "free" in kinds else None
            yield from walk(top + 27, START, hit, f"pass {row + 1}")


def walk(y: int, start: int, hit: int | None, name: str) -> Iterator[str]:
    """The way from the start to the first free port, or once around."""

    def centre(column: int) -> float:
        return 140 + column * (CELL - 1) + (CELL - 3) / 2

    end = COLUMNS - 1 if hit is None else hit
    yield line([(centre(start), y), (centre(end), y)], "line arrow")
    yield f'<circle cx="{centre(start)}" cy="{y}" r="3.5" fill="var(--ink)"/>'
    yield line([(centre(end) - 5, y - 4), (centre(end) + 1, y), (centre(end) - 5, y + 4)], "line arrow")
    if hit is None:
        yield line([(centre(0), y), (centre(start), y)], "line arrow")
        yield text(centre(12), y + 14, "and around: none of 14,116 is free", "small")
    yield text(24, y + 5, name, "small")


# --- the measured curve ---------------------------------------------------------------------------------------------

LEFT, TOP, RIGHT, BOTTOM = 76, 76, 730, 372
LOWEST, HIGHEST = 10.0, 100_000.0


def x_of(occupancy: float) -> float:
    return LEFT + (RIGHT - LEFT) * occupancy / 100


def y_of(microseconds: float) -> float:
    share = math.log(microseconds / LOWEST) / math.log(HIGHEST / LOWEST)
    return BOTTOM - (BOTTOM - TOP) * share


def connect_curve(data: dict[str, Any]) -> str:
    """Time of connect() over the share of ports in TIME_WAIT, on a logarithmic scale."""
    parts = [
        text(24, 32, "Time of one connect() over the share of ports in TIME_WAIT", "title"),
        text(24, 52, f"median and, dashed, 99th percentile; Linux {data['kernel']}, {data['date']}", "small"),
    ]
    for value, label in ((10, "10 µs"), (100, "100 µs"), (1000, "1 ms"), (10_000, "10 ms"), (100_000, "100 ms")):
        parts.append(line([(LEFT, y_of(value)), (RIGHT, y_of(value))], "grid"))
        parts.append(text(LEFT - 8, y_of(value) + 4, label, "small end"))
    for occupancy in range(0, 101, 10):
        parts.append(line([(x_of(occupancy), BOTTOM), (x_of(occupancy), BOTTOM + 5)], "axis"))
        parts.append(text(x_of(occupancy), BOTTOM + 20, f"{occupancy}%", "small middle"))
    for curve, kind in zip(data["curves"], ("one", "two", "three"), strict=True):
        points = curve["points"]
        parts.append(line([(x_of(one["occupancy"]), y_of(one["p99_us"])) for one in points], f"line thin {kind}"))
        parts.append(line([(x_of(one["occupancy"]), y_of(one["median_us"])) for one in points], f"line {kind}"))
    parts.append(line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], "axis"))
    parts += [
        text(x_of(53), TOP + 16, "1024-65535: 64,512 ports", "two-text"),
        text(x_of(53), y_of(1150), "default range: 28,232 ports", "one-text"),
        text(x_of(61), y_of(24.5), "default range, tcp_tw_reuse = 1", "three-text"),
        text(x_of(16), y_of(420), "below half, all are alike", "small"),
    ]
    return picture(WIDE, 412, "Time of connect() over the share of ports in TIME_WAIT", parts)


# --- the way of the data --------------------------------------------------------------------------------------------

HOST, CONTROLLER, BORDER, STEP_WIDTH = 24, 470, 380, 266


def data_flow() -> str:
    """Steps on the host at the left, on the controller at the right, and the types that cross the border."""

    def step(x: int, y: int, name: str, words: str) -> Iterator[str]:
        yield box(x, y, STEP_WIDTH, 50, "free cell")
        yield text(x + 12, y + 21, name)
        yield text(x + 12, y + 39, words, "small")

    def arrow(x: float, y: float, to_x: float, to_y: float) -> Iterator[str]:
        yield line([(x, y), (to_x, to_y)], "line arrow")
        along = math.copysign(6, to_x - x) if to_x != x else 0
        across = 6 if to_x == x else 0
        yield line(
            [(to_x - along - (4 if across else 0), to_y - across - (4 if along else 0)), (to_x, to_y),
             (to_x - along + (4 if across else 0), to_y - across + (4 if along else 0))],
            "line arrow",
        )  # fmt: skip

    def crossing(y: int, name: str, back: bool) -> Iterator[str]:
        ends = (HOST + STEP_WIDTH, CONTROLLER) if not back else (CONTROLLER, HOST + STEP_WIDTH)
        yield from arrow(ends[0] + (4 if not back else -4), y, ends[1] - (4 if not back else -4), y)
        yield text(BORDER, y - 8, name, "small middle")

    parts = [
        text(24, 34, "The way of the data", "title"),
        text(HOST, 64, "on the managed host (plugins/modules, module_utils)", "small"),
        text(CONTROLLER, 64, "on the controller (plugins/action, plugin_utils)", "small"),
        line([(BORDER, 76), (BORDER, 452)], "thin grid"),
        *step(HOST, 84, "observe", "sockets, sysctls, counters, files"),
        *crossing(109, "Usage", back=False),
        *step(CONTROLLER, 84, "check", "_border: types, bounds, no facts"),
        *arrow(CONTROLLER + 133, 138, CONTROLLER + 133, 158),
        *step(CONTROLLER, 162, "decide", "_plan: a setting, with a reason, per key"),
        *arrow(CONTROLLER + 133, 216, CONTROLLER + 133, 236),
        *step(CONTROLLER, 240, "render", "the role's template; the text is the Plan"),
        *crossing(265, "text", back=True),
        *step(HOST, 240, "apply", "_dropin: file and kernel, or neither"),
        *arrow(HOST + 133, 294, HOST + 133, 314),
        *step(HOST, 318, "prove", "_stress: real load through libcurl"),
        *crossing(343, "results", back=False),
        *step(CONTROLLER, 318, "judge", "_rollout: gate, outcome, roll back"),
        *arrow(CONTROLLER + 133, 372, CONTROLLER + 133, 392),
        *step(CONTROLLER, 396, "report", "_report, _text: all hosts, worst first"),
    ]
    return picture(WIDE, 472, "From a host to the report: how data moves through the collection", parts)


def drawings() -> dict[str, str]:
    """File name to picture, for all of them."""
    return {
        "connect-curve.svg": connect_curve(json.loads(CURVE_DATA.read_text())),
        "dashboard.svg": draw_dashboard.draw(),
        "data-flow.svg": data_flow(),
        "port-lifetime.svg": lifetime(),
        "port-search.svg": search(),
    }


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, svg in drawings().items():
        (IMAGES / name).write_text(svg)


if __name__ == "__main__":
    main()

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What describe, the terminal and the page have in common: states, values, numbers and names of hosts in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ...module_utils._common.text import format_duration, format_percent, format_some
from .._model import Forecast, Pool

Word = TypeVar("Word", bound=str)

VALUE_WIDTH = 40  # lists of reserved ports can be long
NAMES_SHOWN = 6

_WORDS = {
    "rolled_back": "rolled back",
    "would_change": "would change",
    "planned": "planned, not applied",
}


def format_word(name: str) -> str:
    """A level, a state, or what became of a setting."""
    return _WORDS.get(name, name)


def format_count(value: float) -> str:
    """With separators of thousands. Whole from ten on."""
    return f"{value:,.1f}" if isinstance(value, float) and value < 10 else f"{value:,.0f}"


def format_value(value: str | None) -> str:
    """The value of a sysctl."""
    if value is None:
        return "absent"
    text = " ".join(value.split()) or "empty"
    return text if len(text) <= VALUE_WIDTH else f"{text[:VALUE_WIDTH].rpartition(',')[0]} ..."


def format_change(before: str | None, after: str | None) -> str:
    """A value, or a value and the one that follows it."""
    if after is None or before == after:
        return format_value(before)
    return f"{format_value(before)} -> {format_value(after)}"


def format_hosts(number: int) -> str:
    return format_some(number, "host")


def format_counts(counts: Mapping[Word, int], order: Iterable[Word]) -> str:
    """Those that are not zero, as in "2 critical, 3 ok"."""
    return ", ".join(f"{counts[name]} {format_word(name)}" for name in order if counts.get(name))


def format_forecast(forecast: Forecast) -> str:
    critical, exhausted = forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]
    if exhausted:
        return f"exhausted in {exhausted:.0f} s"
    if critical:
        return f"critical in {critical:.0f} s"
    if forecast["saturation"] > 1:
        return f"needs {forecast['saturation']:.1f} x the ports"
    if exhausted == 0:
        return "no port is left"
    return f"{format_percent(forecast['saturation'])} at this rate"


def level_from(pool: Pool) -> str:
    """Whose word a level is: the kernel's where it was asked, else that of the count."""
    beyond_count = pool["level"] == "exhausted" and pool["blocked"] < pool["usable"]
    return "kernel" if pool["probe"] or beyond_count else "count"


def format_answer(pool: Pool) -> str:
    """What the kernel said to a dry connect."""
    answer = pool["probe"]
    if not answer:
        return "not asked"
    took = "" if answer["search_us"] is None else f" in {format_duration(answer['search_us'])}"
    if not answer["errno"]:
        return f"found a port{took}"
    lacking = f"no {answer['lacks']}" if answer["lacks"] else "failed"
    return f"{lacking}{took} (errno {answer['errno']})"


def natural(name: str) -> list[tuple[int, int, str]]:
    """For sorting: web9 before web10."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]


def format_names(names: Iterable[str], limit: int = NAMES_SHOWN) -> str:
    """Host names in few words: web[01:12] for a series as inventories write it, and how many were left out."""
    folded = _fold(sorted(set(names), key=natural))
    shown = ", ".join(text for text, _size in folded[:limit])
    left = sum(size for _text, size in folded[limit:])
    return f"{shown} and {left} more" if left else shown


# The last number of the first label: in web12.eu1.example.org the 12, which is what inventories count.
_NUMBERED = re.compile(r"(?P<head>[^.]*?)(?P<number>[0-9]+)(?P<tail>[^0-9.]*(?:\..*)?)\Z", re.DOTALL)


def _fold(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each series of numbered names once, with how many names it stands for."""
    series: list[list[str]] = []
    for name in names:
        if series and _follows(name, series[-1][-1]):
            series[-1].append(name)
        else:
            series.append([name])
    return [(_written(members), len(members)) for members in series]


def _follows(name: str, before: str) -> bool:
    one, two = _NUMBERED.match(before), _NUMBERED.match(name)
    if not one or not two or (one["head"], one["tail"]) != (two["head"], two["tail"]):
        return False
    alike = len(one["number"]) == len(two["number"]) or "0" not in (one["number"][0], two["number"][0])
    return alike and int(two["number"]) == int(one["number"]) + 1


def _written(members: Sequence[str]) -> str:
    first, last = _NUMBERED.match(members[0]), _NUMBERED.match(members[-1])
    if len(members) == 1 or not first or not last:
        return members[0]
    return f"{first['head']}[{first['number']}:{last['number']}]{first['tail']}"

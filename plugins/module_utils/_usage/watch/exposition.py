# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics in the text format of Prometheus.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. node_exporter's textfile collector refuses
timestamps, and a sample that is there twice.
"""

from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Tuple

Labels = Mapping[str, str]

# A name of a container or program is at most so long.
_LONGEST = 200
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


class Sample(NamedTuple):
    labels: Labels
    value: float


class Family(NamedTuple):
    """A gauge: its name without the prefix, what it says, and its samples."""

    name: str
    about: str
    samples: List[Sample]


def write(families: Iterable[Family], prefix: str, common: Labels) -> str:
    """The text of all families that have a sample.

    common: labels that every sample gets. Of samples with the same labels the first counts.
    """
    return "".join(line for family in families for line in _lines(family, prefix + family.name, common))


def _lines(family: Family, name: str, common: Labels) -> Iterator[str]:
    values: Dict[Tuple[Tuple[str, str], ...], float] = {}
    for sample in family.samples:
        values.setdefault(tuple({**sample.labels, **common}.items()), sample.value)
    if values:
        yield f"# HELP {name} {family.about}\n# TYPE {name} gauge\n"
    for labels, value in values.items():
        written = ",".join(f'{label}="{escape(text)}"' for label, text in labels)
        yield f"{name}{{{written}}} {format_value(value)}\n" if written else f"{name} {format_value(value)}\n"


def format_value(value: float) -> str:
    """Whole numbers without a fraction; a text for a number is never longer than it has to be."""
    return str(int(value)) if value == int(value) else repr(float(value))


def escape(text: str) -> str:
    """A label's value. What cannot be seen, and what is no Unicode, is replaced: it belongs into no monitoring."""
    shown = "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text[:_LONGEST])
    return "".join(_ESCAPES.get(one, one) for one in shown)

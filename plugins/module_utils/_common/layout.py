# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of text: columns, labels, wrapping, cutting. Nothing here knows what the text is about."""

import textwrap
from typing import Iterable, List, Sequence

# Ansible's default output shows lines as a JSON list, which needs eleven columns of its own.
WIDTH = 88
LABEL = 10  # as wide as the longest label, TIME_WAIT, and its colon


def table(rows: Sequence[Sequence[object]], left: Iterable[int]) -> List[str]:
    """Columns two blanks apart; those in `left` start, the others end, at the same column."""
    aligned = set(left)
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]

    def cell(column: int, value: object) -> str:
        return f"{value!s:<{widths[column]}}" if column in aligned else f"{value!s:>{widths[column]}}"

    return ["  " + "  ".join(cell(*pair) for pair in enumerate(row)).rstrip() for row in rows]


def labelled(label: str, text: str) -> List[str]:
    head = f"{label}:" if label else ""
    return wrap(text, WIDTH, f"{head:<{LABEL}} ", " " * (LABEL + 1))


def indented(text: str, indent: int = 0, hanging: int = 0) -> List[str]:
    return wrap(text, WIDTH, " " * indent, " " * (indent + hanging))


def wrap(text: str, width: int, first: str = "", later: str = "") -> List[str]:
    """Identifiers such as reuse-loopback-only stay whole."""
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def cut_end(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def cut_middle(text: str, width: int) -> str:
    """Of an error message the beginning says what was tried, and the end often why it failed.

    The cut is between words, but for words so long that little else would be left.
    """
    if len(text) <= width:
        return text
    head = (width - 5) // 2
    tail = len(text) - (width - 5 - head)
    first, last = text[: head + 1].rpartition(" ")[0], text[tail - 1 :].partition(" ")[2]
    first = first if len(first) > head // 2 else text[:head]
    last = last if len(last) > head // 2 else text[tail:]
    return f"{first.rstrip()} ... {last.lstrip()}"


def one_line(line: str) -> str:
    """What a host says may not steer a terminal. Double quotes would be escaped in Ansible's output."""
    plain = line if line.isprintable() else "".join(one if one.isprintable() else "?" for one in line)
    return plain.replace('"', "'")

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written, read by Prometheus' own client library."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.exposition import (
    Family,
    Sample,
    escape,
    write,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_family_has_its_head_once() -> None:
    samples = [Sample({"kind": "udp"}, 0.5), Sample({"kind": "bind"}, 2)]
    assert write([Family("blocked", "Blocked ports.", samples)], "p_", {"host": "a"}) == (
        "# HELP p_blocked Blocked ports.\n"
        "# TYPE p_blocked gauge\n"
        'p_blocked{kind="udp",host="a"} 0.5\n'
        'p_blocked{kind="bind",host="a"} 2\n'
    )


def test_without_labels_there_are_no_braces() -> None:
    assert write([Family("up", "Up.", [Sample({}, 1)])], "", {}).endswith("\nup 1\n")


def test_a_family_without_samples_is_left_out() -> None:
    assert write([Family("up", "Up.", [])], "", {}) == ""


def test_a_sample_that_is_there_twice_is_written_once() -> None:
    """node_exporter would refuse the whole file."""
    twice = Family("up", "Up.", [Sample({"a": "b"}, 1), Sample({"a": "b"}, 2)])
    assert write([twice], "", {}).count('up{a="b"}') == 1


@given(st.text() | st.text(alphabet='\\"\n{},=# \t\r\x00\x1b\u2028'), NUMBERS)
def test_no_name_breaks_the_format(name: str, value: float) -> None:
    """Neither the line it is in nor those beside it: what is read back is one sample, its label as it was shown."""
    text = write([Family("a", "A.", [Sample({"name": name}, value)]), Family("b", "B.", [Sample({}, 1)])], "", {})
    found = read(text)
    assert len(found) == 2
    assert found[("b", frozenset())] == 1
    ((_name, labels),) = (key for key in found if key[0] == "a")
    shown = "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in name[:200])
    assert dict(labels) == {"name": shown}
    assert math.isclose(found[("a", labels)], value, rel_tol=1e-12)


def test_what_steers_a_terminal_or_is_no_unicode_is_replaced() -> None:
    assert escape("a\x1b[2J\udcff") == "a\ufffd[2J\ufffd"
    assert escape("x" * 500) == "x" * 200

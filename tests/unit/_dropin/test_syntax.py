# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drop-in may contain, and how what it may not is named."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import syntax
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.syntax import Assignment, parse

PART = st.text("abcxyz_0123456789", min_size=1, max_size=8)
KEYS = st.lists(PART, min_size=2, max_size=5).map(".".join)
VALUES = st.text("0123456789,- \tabc=*", max_size=20).map(lambda text: text.strip(" \t"))
BLANKS = st.text(" \t", max_size=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n# a\n ; b = 1\n\t\n", []),
        ("a.b=1", [Assignment("a.b", "1", False, 1)]),
        ("\n \ta.b \t= \t1  2\t\r\n", [Assignment("a.b", "1  2", False, 2)]),
        ("a/b = 1", [Assignment("a.b", "1", False, 1)]),
        ("-a.b = 1\n- a.c=2", [Assignment("a.b", "1", True, 1), Assignment("a.c", "2", True, 2)]),
        ("a.b =", [Assignment("a.b", "", False, 1)]),
        ("a.b = c = d # e", [Assignment("a.b", "c = d # e", False, 1)]),
        ("net/ipv4/conf/eth0.7/x = 1", [Assignment("net.ipv4.conf.eth0/7.x", "1", False, 1)]),
        ("net.ipv4.conf.eth0/7.x = 1", [Assignment("net.ipv4.conf.eth0/7.x", "1", False, 1)]),
        ("a.b = 1\na.c = 2\n-a/b = 3", [Assignment("a.c", "2", False, 2), Assignment("a.b", "3", True, 3)]),
        ("# \u2028 a.b = 1 \x0b a.c = 2", []),  # to the loaders these are no line ends
    ],
)
def test_read(text: str, expected: list[Assignment]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# ok\nhello world", "content line 2: 'hello world' is not of the form"),
        ("-a.b", "is not of the form"),
        ("a.* = 1", "content line 1: 'a.*' is a pattern"),
        ("a.b[0] = 1", "is a pattern"),
        ("= 1", "content line 1: '' is not the name of a sysctl"),
        ("a = 1", "'a' is not the name of a sysctl"),
        ("a..b = 1", "is not the name of a sysctl"),
        ("a./b = 1", "is not the name of a sysctl"),
        ("net/ipv4/../../etc = 1", "is not the name of a sysctl"),
        ("/a/b = 1", "is not the name of a sysctl"),
        ("a b.c = 1", "is not the name of a sysctl"),
        ("\ufeffa.b = 1", "is not the name of a sysctl"),
        ("a.b\0c = 1", "is not the name of a sysctl"),
        ("\xa0a.b = 1", "is not the name of a sysctl"),
        ("a.b = \xe9", "content line 1: the value of a.b is not plain ASCII text"),
        ("a.b = 1\x0b2", "is not plain ASCII text"),
    ],
)
def test_named(text: str, message: str) -> None:
    with pytest.raises(OptionError, match="content line") as error:
        parse(text)
    assert message in str(error.value)


@given(st.lists(st.tuples(st.booleans(), KEYS, VALUES, BLANKS), unique_by=lambda line: line[1]))
def test_what_is_written_is_read(lines: list[tuple[bool, str, str, str]]) -> None:
    text = "".join(f"{b}{'-' * optional}{key}{b}={b}{value}{b}\n# more\n" for optional, key, value, b in lines)
    assert [(one.optional, one.key, one.value) for one in parse(text)] == [line[:3] for line in lines]


@given(st.text("ab.*/=-# \t\r\n\0\xa0\ufeff", max_size=40) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(OptionError):
        for one in syntax.parse(text):
            path = one.key.replace(".", "\0").replace("/", ".").split("\0")
            assert len(path) > 1
            assert not {"", ".", ".."} & set(path)

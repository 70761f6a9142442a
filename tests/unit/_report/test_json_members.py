# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON read piece by piece gives what json.load gives, wherever a piece ends."""

from __future__ import annotations

import io
import json
import re

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report import json_members
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.json_members import members

VALUE = {"schema": 12345, "meta": {"a,]}": 'q"\\'}, "hosts": [{"n": 1}, [], "\u00e9\n", -1.5e3, None], "last": 67890}
TEXTS = [json.dumps(VALUE), json.dumps(VALUE, indent=3), json.dumps(VALUE, separators=(",", ":"), ensure_ascii=False)]


@pytest.mark.parametrize("text", TEXTS, ids=["plain", "indented", "dense"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch, text: str, chunk: int) -> None:
    monkeypatch.setattr(json_members, "_CHUNK", chunk)
    found = list(members(io.StringIO(text + "\n"), "hosts"))
    assert [value for name, value in found if name == "hosts"] == VALUE["hosts"]
    assert [(name, value) for name, value in found if name != "hosts"] == [
        (name, value) for name, value in VALUE.items() if name != "hosts"
    ]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_what_is_cut_off_is_never_taken_for_whole(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_members, "_CHUNK", chunk)
    for end in range(len(TEXTS[0])):
        with pytest.raises(ValueError, match=r".+"):
            list(members(io.StringIO(TEXTS[0][:end]), "hosts"))


def test_items_come_before_the_rest_was_read() -> None:
    """Of a file that never ends."""

    class Endless(io.StringIO):
        def read(self, _size: int | None = -1) -> str:
            return '{"hosts": [1, ' if self.seek(self.tell() + 1) == 1 else "2, "

    found = members(Endless(), "hosts")
    assert [next(found) for _item in range(3)] == [("hosts", 1), ("hosts", 2), ("hosts", 2)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected a dictionary"),
        ("[1]", "expected a dictionary"),
        ('{"hosts": [1 2]}', "expected , or ] before '2]}'"),
        ('{"hosts": [1,]}', "Expecting value in ']}'"),
        ('{"a" 1}', "expected : before '1}'"),
        ('{"a": 1} x', "something follows its end"),
        ('{"hosts": [1', "it ends too early"),
    ],
)
def test_what_is_no_json_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        list(members(io.StringIO(text), "hosts"))

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as iptables-legacy writes them, built here; real ones are in tests/integration."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._nat import xtables
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.claims import legacy_rules


def part(name: str, data: bytes) -> bytes:
    return struct.pack("H29sB", 32 + len(data), name.encode(), 0) + data


TCP = part("tcp", struct.pack("=8H", 0, 65535, 80, 90, 0, 0, 0, 0))
UDP = part("udp", struct.pack("=4H4B", 0, 65535, 53, 53, 0, 0, 0, 0))
OTHER = part("comment", bytes(256))


@pytest.mark.parametrize(
    ("matches", "target", "ports"),
    [
        (TCP, "DNAT", "80-90"),
        (OTHER + UDP + OTHER, "REDIRECT", "53"),
        (TCP, "MASQUERADE", ""),
        (OTHER, "DNAT", ""),
        (b"", "DNAT", ""),
        (bytes(64), "DNAT", ""),
    ],
)
def test_translated(matches: bytes, target: str, ports: str) -> None:
    for layout in xtables.LAYOUTS:
        head = bytes(layout.size)
        rule = head + matches + part(target, bytes(24))
        assert str(legacy_rules.translated(rule, len(head + matches), layout)) == ports


@given(st.binary(max_size=400))
def test_whatever_comes(rubbish: bytes) -> None:
    for layout in xtables.LAYOUTS:
        for entry, target_at in xtables.entries(rubbish, layout):
            with contextlib.suppress(struct.error):
                legacy_rules.translated(entry, target_at, layout)


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket takes CAP_NET_RAW")
def test_a_table_that_is_not_there_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(_kernel: object, level: int, _option: int, answer: bytearray) -> bytearray:
        asked.append(level)
        return answer

    monkeypatch.setattr(xtables, "_ask", ask)
    (tmp_path / "net").mkdir()
    (tmp_path / "net/ip_tables_names").write_text("filter\n")
    assert legacy_rules.find(str(tmp_path)) == (legacy_rules.PortSet(), False)
    (tmp_path / "net/ip_tables_names").write_text("filter\nnat\n")
    legacy_rules.find(str(tmp_path))
    assert set(asked) == {socket.IPPROTO_IP}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as nft and iptables-nft write them, built here; real ones are in tests/integration."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._nat import nft
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.claims import nat_rules

EQ, NEQ, LTE, GTE = 0, 1, 3, 5


def attribute(kind: int, value: bytes, nested: int = 0) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind | nested) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def expression(name: str, *data: bytes) -> bytes:
    body = attribute(1, name.encode() + b"\0") + attribute(2, b"".join(data), 0x8000)
    return attribute(1, body, 0x8000)


def rule(*expressions: bytes) -> bytes:
    return attribute(1, b"nat\0") + attribute(2, b"prerouting\0") + attribute(4, b"".join(expressions), 0x8000)


def port(kind: int, value: int) -> bytes:
    return attribute(kind, attribute(1, struct.pack(">H", value)), 0x8000)


def compare(operator: int, value: int) -> bytes:
    return expression("cmp", number(1, 8), number(2, operator), port(3, value))


DPORT = expression("payload", number(1, 8), number(2, 2), number(3, 2), number(4, 2))
SPORT = expression("payload", number(1, 8), number(2, 2), number(3, 0), number(4, 2))
DNAT, SNAT = expression("nat", number(1, 1)), expression("nat", number(1, 0))
REDIRECT = expression("redir")
WITHIN = expression("range", number(1, 8), number(2, EQ), port(3, 9000), port(4, 9010))
XT_TCP = struct.pack("=8H", 0, 65535, 80, 90, 0, 0, 0, 0)
TCP = expression("match", attribute(1, b"tcp\0"), number(2, 0), attribute(3, XT_TCP))
NOT_TCP = expression("match", attribute(1, b"tcp\0"), attribute(3, struct.pack("=4H4B", 0, 65535, 80, 90, 0, 0, 0, 2)))
NOT_UDP = expression("match", attribute(1, b"udp\0"), attribute(3, struct.pack("=4HB", 0, 65535, 80, 90, 2)))


def multiport(kind: int = 1, inverted: int = 0) -> bytes:
    data = struct.pack("=BB15H15BB", kind, 4, 80, 9000, 9010, 443, *[0] * 11, 0, 1, *[0] * 13, inverted)
    return expression("match", attribute(1, b"multiport\0"), number(2, 1), attribute(3, data))


TARGET = expression("target", attribute(1, b"DNAT\0"), number(2, 1), attribute(3, bytes(16)))
IS_TCP = expression("cmp", number(2, EQ), attribute(3, attribute(1, b"\x06"), 0x8000))
IN_SET = expression("lookup", attribute(1, b"web\0"), number(2, 1), number(4, 1), number(5, 0))
NOT_IN_SET = expression("lookup", attribute(1, b"web\0"), number(2, 1), number(4, 1), number(5, 1))
PROTOCOL = expression("meta", number(1, 8)), IS_TCP


@pytest.mark.parametrize(
    ("expressions", "ports"),
    [
        ((*PROTOCOL, DPORT, compare(EQ, 8080), DNAT), "8080"),
        ((DPORT, compare(EQ, 8080), REDIRECT), "8080"),
        ((DPORT, compare(GTE, 9000), compare(LTE, 9010), DNAT), "9000-9010"),
        ((DPORT, WITHIN, DNAT), "9000-9010"),
        ((TCP, TARGET), "80-90"),
        ((NOT_TCP, TARGET), ""),
        ((NOT_UDP, TARGET), ""),
        ((multiport(), TARGET), "80,443,9000-9010"),
        ((multiport(kind=2), TARGET), "80,443,9000-9010"),
        ((multiport(kind=0), TARGET), ""),
        ((multiport(inverted=1), TARGET), ""),
        ((DPORT, IN_SET, DNAT), "80,9000-9010"),
        ((DPORT, NOT_IN_SET, DNAT), ""),
        ((SPORT, IN_SET, DNAT), ""),
        ((DPORT, compare(EQ, 8080), SNAT), ""),
        ((DPORT, compare(EQ, 8080)), ""),
        ((DPORT, compare(NEQ, 8080), DNAT), ""),
        ((SPORT, compare(EQ, 8080), DNAT), ""),
        ((*PROTOCOL, DNAT), ""),
        ((DNAT,), ""),
        ((), ""),
    ],
)
def test_translated(expressions: tuple[bytes, ...], ports: str) -> None:
    def members(table: bytes, name: bytes) -> PortSet:
        assert (table, name) == (b"nat", b"web")
        return PortSet([(80, 80), (9000, 9010)])

    assert str(nat_rules.translated(rule(*expressions), members)) == ports


@given(st.binary(max_size=200))
def test_whatever_comes(rubbish: bytes) -> None:
    with contextlib.suppress(struct.error):
        nat_rules.translated(rubbish, lambda _table, _name: PortSet())
        nat_rules.ports_in_set([rubbish])


class Changing:
    """A dump of rules that change: the first answers say that they are of two states."""

    def __init__(self, times: int) -> None:
        self.times, self.dumps, self.interrupted = times, 0, False

    def __enter__(self) -> Changing:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def runs(self, _kind: int, _body: bytes) -> Iterator[tuple[bytes, int]]:
        self.dumps += 1
        self.interrupted = self.dumps <= self.times
        yield struct.pack("=IHHIIBxxx", 20, 0, 0, 0, 0, 2), 20


@pytest.mark.parametrize(("times", "dumps"), [(0, 1), (2, 3)])
def test_rules_that_change_while_they_are_read_are_read_anew(
    monkeypatch: pytest.MonkeyPatch, times: int, dumps: int
) -> None:
    changing = Changing(times)
    monkeypatch.setattr(nft, "Netlink", lambda _protocol: changing)
    assert nft.dump(1) == [(2, b"")]
    assert changing.dumps == dumps


def test_rules_that_go_on_changing_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "Netlink", lambda _protocol: Changing(9))
    monkeypatch.setattr(nft, "_ATTEMPTS", 1)
    with pytest.raises(OSError, match="the rules change"):
        nft.dump(1)


def test_a_module_is_not_loaded_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def netlink(_protocol: int) -> object:
        asked.append(True)
        raise OSError

    monkeypatch.setattr(nft, "Netlink", netlink)
    (tmp_path / "modules").write_text("nf_conntrack 172032 4 - Live 0x0\n")
    if not Path("/sys/module/nf_tables").exists():
        nat_rules.find(str(tmp_path))
        assert asked == []
    (tmp_path / "modules").write_text("nf_tables 311296 0 - Live 0x0\n")
    nat_rules.find(str(tmp_path))
    assert asked == [True]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and spellings of sysctls, and how they are read and written, on files that stand for the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sysctl, sysctl_write
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import RESERVED_PORTS as RESERVED
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl


@pytest.mark.parametrize(
    ("name", "key", "path"),
    [
        ("net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_tw_reuse", "net/ipv4/tcp_tw_reuse"),
        ("net/ipv4/tcp_tw_reuse", "net.ipv4.tcp_tw_reuse", "net/ipv4/tcp_tw_reuse"),
        ("net.ipv4.conf.eth0/7.arp", "net.ipv4.conf.eth0/7.arp", "net/ipv4/conf/eth0.7/arp"),
        ("net/ipv4/conf/eth0.7/arp", "net.ipv4.conf.eth0/7.arp", "net/ipv4/conf/eth0.7/arp"),
    ],
)
def test_names(name: str, key: str, path: str) -> None:
    assert sysctl.canonical(name) == key
    assert sysctl.path_of(key) == f"/proc/sys/{path}"


@pytest.mark.parametrize(
    ("key", "left", "right", "same"),
    [
        ("a.b", "1", "1", True),
        ("a.b", "32768\t60999", " 32768  60999 ", True),
        ("a.b", "1", "2", False),
        ("a.b", "1 2", "12", False),
        ("a.b", "", "0", False),
        ("a.b", "10", "010", False),  # octal to the kernel
        ("a.b", "10", "1_0", False),
        ("a.b", "1", "+1", False),
        (RESERVED, "80,81", "80-81", True),
        (RESERVED, "81,80", "80-81", True),
        (RESERVED, "", "\n", True),
        (RESERVED, "", "80", False),
        (RESERVED, "80", "http", False),
    ],
)
def test_same(key: str, left: str, right: str, same: bool) -> None:
    assert {sysctl.same(key, *pair) for pair in ((left, right), (right, left))} == {same}


def test_spelled_as_the_kernel_prints_it() -> None:
    assert sysctl.spelled(RESERVED, "9000,81,80") == "80-81,9000"
    assert sysctl.spelled("a.b", " 1\t\t2 ") == "1 2"


def test_missing_keys_are_none(tmp_path: Path) -> None:
    (tmp_path / "net" / "ipv4").mkdir(parents=True)
    (tmp_path / "net" / "file").write_text("1\n")
    for key in ("net.ipv6", "net.ipv4", "net.file.deeper"):
        assert sysctl.read(key, str(tmp_path)) is None


@given(value=st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")))
def test_any_bytes_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, value: bytes) -> None:
    root = tmp_path_factory.getbasetemp()
    (root / "kernel").mkdir(exist_ok=True)
    (root / "kernel" / "pattern").write_bytes(value + b"\n")
    text = sysctl.read("kernel.pattern", str(root))
    assert text is not None
    (root / "kernel" / "pattern").write_bytes(b"")
    write_sysctl("kernel.pattern", text, str(root))
    assert (root / "kernel" / "pattern").read_bytes() == value + b"\n"


@given(st.sets(st.integers(0, 65535), max_size=3000))
def test_pieces_of_a_list_are_short_and_make_the_list(ports: set[int]) -> None:
    value = str(PortSet.of(ports))
    pieces = list(sysctl_write._pieces(value))
    assert ",".join(pieces) == value
    assert all(len(piece) < 4095 for piece in pieces)

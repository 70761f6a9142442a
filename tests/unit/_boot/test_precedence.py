# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the sysctl loaders, each by name. tests/integration holds them to the real loaders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import files as boot_files
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import late_writers, precedence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import (
    PROCPS,
    SYSTEMD,
    Loader,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.lines import SysctlFile, assignments
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.precedence import BootValue
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import RESERVED_PORTS as RESERVED
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import TW_REUSE as REUSE

EL7_SYSTEMD = Loader(SYSTEMD, (219,))
SYSTEMDS = [Loader(SYSTEMD, (247,)), Loader(SYSTEMD, (257,))]
EL7_PROCPS = Loader(PROCPS, (3, 3, 10))
OLD_PROCPS = Loader(PROCPS, (3, 3, 17))
NEW_PROCPS = Loader(PROCPS, (4, 0, 4))
ALL = [*SYSTEMDS, OLD_PROCPS, NEW_PROCPS]
WITH_GLOBS = [*SYSTEMDS, NEW_PROCPS]


class Case(NamedTuple):
    """tree: path to text, or to "-> target" for a link. expected: value and deciding "file:line", or None."""

    name: str
    tree: dict[str, str]
    loaders: list[Loader]
    expected: tuple[str, str] | None


ETC = "/etc/sysctl.d"
CASES = [
    Case("nothing sets it", {f"{ETC}/a.conf": "# net.ipv4.tcp_tw_reuse = 1\n"}, ALL, None),
    Case("no files at all", {}, ALL, None),
    Case("the last line wins", {f"{ETC}/a.conf": f"{REUSE} = 0\n\n{REUSE} = 1"}, ALL, ("1", f"{ETC}/a.conf:3")),
    Case(
        "names sort as strings: 9-x after 50-b",
        {f"{ETC}/9-x.conf": f"{REUSE}=9", f"{ETC}/50-b.conf": f"{REUSE}=5"},
        ALL,
        ("9", f"{ETC}/9-x.conf:1"),
    ),
    Case(
        "names sort whatever the directory",
        {"/usr/lib/sysctl.d/b.conf": f"{REUSE}=2", f"{ETC}/a.conf": f"{REUSE}=1"},
        ALL,
        ("2", "/usr/lib/sysctl.d/b.conf:1"),
    ),
    Case(
        "the same name in /etc masks",
        {"/usr/lib/sysctl.d/a.conf": f"{REUSE}=2", f"{ETC}/a.conf": ""},
        ALL,
        None,
    ),
    Case(
        "a link to /dev/null masks",
        {"/usr/lib/sysctl.d/a.conf": f"{REUSE}=2", f"{ETC}/a.conf": "-> /dev/null"},
        ALL,
        None,
    ),
    Case(
        "a link to nowhere masks",
        {"/run/sysctl.d/a.conf": f"{REUSE}=2", f"{ETC}/a.conf": "-> nowhere"},
        ALL,
        None,
    ),
    Case(
        "/etc before /run",
        {"/run/sysctl.d/a.conf": f"{REUSE}=2", f"{ETC}/a.conf": f"{REUSE}=1"},
        ALL,
        ("1", f"{ETC}/a.conf:1"),
    ),
    Case(
        "but not for procps before 3.3.17",
        {"/run/sysctl.d/a.conf": f"{REUSE}=2", f"{ETC}/a.conf": f"{REUSE}=1"},
        [EL7_PROCPS],
        ("2", "/run/sysctl.d/a.conf:1"),
    ),
    Case("other names are not read", {f"{ETC}/a.conf.bak": f"{REUSE}=1", f"{ETC}/b.cfg": f"{REUSE}=1"}, ALL, None),
    Case("systemd ignores hidden files", {f"{ETC}/.a.conf": f"{REUSE}=1"}, SYSTEMDS, None),
    Case("procps reads them", {f"{ETC}/.a.conf": f"{REUSE}=1"}, [OLD_PROCPS, NEW_PROCPS], ("1", f"{ETC}/.a.conf:1")),
    Case(
        "procps reads /etc/sysctl.conf last",
        {"/etc/sysctl.conf": f"{REUSE}=0", f"{ETC}/zz.conf": f"{REUSE}=1"},
        [OLD_PROCPS, NEW_PROCPS],
        ("0", "/etc/sysctl.conf:1"),
    ),
    Case("systemd does not read it", {"/etc/sysctl.conf": f"{REUSE}=0"}, SYSTEMDS, None),
    Case(
        "except through 99-sysctl.conf",
        {
            "/etc/sysctl.conf": f"{REUSE}=0",
            f"{ETC}/99-sysctl.conf": "-> ../sysctl.conf",
            f"{ETC}/99-a.conf": f"{REUSE}=1",
        },
        SYSTEMDS,
        ("0", f"{ETC}/99-sysctl.conf:1"),
    ),
    Case(
        "which sorts like any other",
        {
            "/etc/sysctl.conf": f"{REUSE}=0",
            f"{ETC}/99-sysctl.conf": "-> ../sysctl.conf",
            f"{ETC}/99-zz.conf": f"{REUSE}=1",
        },
        SYSTEMDS,
        ("1", f"{ETC}/99-zz.conf:1"),
    ),
    Case("a pattern", {f"{ETC}/a.conf": "net.ipv4.tcp_tw_r* = 1"}, WITH_GLOBS, ("1", f"{ETC}/a.conf:1")),
    Case("a pattern for one level", {f"{ETC}/a.conf": "net.*.tcp_tw_reus? = 1"}, WITH_GLOBS, ("1", f"{ETC}/a.conf:1")),
    Case("which is one level only", {f"{ETC}/a.conf": "net.*tcp_tw_reuse = 1"}, ALL, None),
    Case("unknown to procps before 4", {f"{ETC}/a.conf": "net.ipv4.tcp_tw_r* = 1"}, [OLD_PROCPS], None),
    Case("unknown to systemd before 245", {f"{ETC}/a.conf": "net.ipv4.tcp_tw_r* = 1"}, [EL7_SYSTEMD], None),
    Case("braces for systemd", {f"{ETC}/a.conf": "net.ipv[4].tcp_{x,tw_reuse}=1"}, SYSTEMDS, ("1", f"{ETC}/a.conf:1")),
    Case("no braces for procps", {f"{ETC}/a.conf": "net.ipv[4].tcp_{x,tw_reuse}=1"}, [NEW_PROCPS], None),
    Case(
        "the key itself beats a later pattern",
        {f"{ETC}/a.conf": f"{REUSE} = 1", f"{ETC}/b.conf": "net.ipv4.tcp_* = 2"},
        ALL,
        ("1", f"{ETC}/a.conf:1"),
    ),
    Case("an exception", {f"{ETC}/a.conf": f"net.ipv4.tcp_* = 2\n-{REUSE}\n"}, ALL, None),
    Case(
        "for procps an exception leaves assignments alone",
        {f"{ETC}/a.conf": f"{REUSE} = 1\n-{REUSE}\n"},
        [OLD_PROCPS, NEW_PROCPS],
        ("1", f"{ETC}/a.conf:1"),
    ),
    Case("for systemd it takes back an earlier one", {f"{ETC}/a.conf": f"{REUSE} = 1\n-{REUSE}\n"}, SYSTEMDS, None),
    Case(
        "systemd leaves a repeated pattern in its place",
        {f"{ETC}/a.conf": "net.*.tcp_tw_reuse=1\nnet/ipv?/tcp_tw_reuse=2\nnet/*/tcp_tw_reuse=1"},
        SYSTEMDS,
        ("2", f"{ETC}/a.conf:2"),
    ),
    Case(
        "procps does not",
        {f"{ETC}/a.conf": "net.*.tcp_tw_reuse=1\nnet/ipv?/tcp_tw_reuse=2\nnet/*/tcp_tw_reuse=1"},
        [NEW_PROCPS],
        ("1", f"{ETC}/a.conf:3"),
    ),
    Case("optional", {f"{ETC}/a.conf": f"-{REUSE} = 1"}, ALL, ("1", f"{ETC}/a.conf:1")),
    Case("unknown to systemd before 243", {f"{ETC}/a.conf": f"-{REUSE} = 1"}, [EL7_SYSTEMD], None),
    Case("a blank after the dash", {f"{ETC}/a.conf": f"- {REUSE} = 1"}, SYSTEMDS, ("1", f"{ETC}/a.conf:1")),
    Case("is a name that procps does not find", {f"{ETC}/a.conf": f"- {REUSE} = 1"}, [OLD_PROCPS, NEW_PROCPS], None),
    Case("slashes", {f"{ETC}/a.conf": "net/ipv4/tcp_tw_reuse = 1"}, ALL, ("1", f"{ETC}/a.conf:1")),
    Case("the first separator decides", {f"{ETC}/a.conf": "net/ipv4.tcp_tw_reuse = 1"}, ALL, None),
    Case("blanks", {f"{ETC}/a.conf": f" \t{REUSE} \t=\t 1 \t\n"}, ALL, ("1", f"{ETC}/a.conf:1")),
    Case("CRLF", {f"{ETC}/a.conf": f"# x\r\n\r\n{REUSE} = 1\r\n"}, ALL, ("1", f"{ETC}/a.conf:3")),
    Case(
        "CR alone ends a line for systemd", {f"{ETC}/a.conf": f"# x\r{REUSE} = 1\r"}, SYSTEMDS, ("1", f"{ETC}/a.conf:2")
    ),
    Case("but not for procps", {f"{ETC}/a.conf": f"# x\r{REUSE} = 1\r"}, [OLD_PROCPS, NEW_PROCPS], None),
    Case("a BOM spoils the first key", {f"{ETC}/a.conf": f"\ufeff{REUSE} = 1\n"}, ALL, None),
    Case("and only that", {f"{ETC}/a.conf": f"\ufeff# x\n{REUSE} = 1\n"}, ALL, ("1", f"{ETC}/a.conf:2")),
    Case("quotes stay", {f"{ETC}/a.conf": f'{REUSE} = "1"\n'}, ALL, ('"1"', f"{ETC}/a.conf:1")),
    Case(
        "so does a comment after the value", {f"{ETC}/a.conf": f"{REUSE} = 1 # x\n"}, ALL, ("1 # x", f"{ETC}/a.conf:1")
    ),
    Case("no value", {f"{ETC}/a.conf": f"{REUSE} =\n"}, WITH_GLOBS, ("", f"{ETC}/a.conf:1")),
    Case("is skipped by procps before 4", {f"{ETC}/a.conf": f"{REUSE} =\n"}, [OLD_PROCPS], None),
    Case("broken lines", {f"{ETC}/a.conf": f"{REUSE}\n=\n= 5\nx\n{REUSE} 1\n"}, ALL, None),
]


def grow(root: Path, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_bytes(text.encode())


def decide(loader: Loader, root: Path, key: str = REUSE) -> BootValue:
    return precedence.boot_values(loader, boot_loaders.read_files(loader, str(root)), [key])[key]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rules(case: Case, tmp_path: Path) -> None:
    grow(tmp_path, case.tree)
    for loader in case.loaders:
        found = decide(loader, tmp_path)
        assert (found.value is not None and (found.value, f"{found.file}:{found.line}")) == (case.expected or False), (
            loader
        )


def test_an_exception_is_named(tmp_path: Path) -> None:
    grow(tmp_path, {f"{ETC}/a.conf": f"net.ipv4.tcp_* = 2\n-{REUSE}\n"})
    for loader in WITH_GLOBS:
        assert decide(loader, tmp_path) == BootValue(None, f"{ETC}/a.conf", 2)


def test_a_device_with_a_dot() -> None:
    files = [
        SysctlFile("a", "net.ipv4.conf.eth0/7.rp_filter = 1\n"),
        SysctlFile("b", "net/ipv4/conf/eth0.7/rp_filter = 2\n"),
    ]
    key = "net.ipv4.conf.eth0/7.rp_filter"
    for loader in ALL:
        assert precedence.boot_values(loader, files, [key])[key] == BootValue("2", "b", 1)


def test_a_refused_value_does_not_count_where_that_is_known() -> None:
    files = [SysctlFile("a", f"{REUSE} = 1\n{REUSE} = 7\n")]

    def value(loader: Loader) -> str | None:
        return precedence.boot_values(loader, files, [REUSE], lambda _key, text: text in "012")[REUSE].value

    assert [value(loader) for loader in ALL] == [None, None, "1", "1"]  # systemd tries the last alone


def test_long_lists_are_cut() -> None:
    ports = ",".join(map(str, range(10001, 12000)))
    files = [SysctlFile("a", f"{RESERVED} = {ports}\n")]
    lengths = [
        len(precedence.boot_values(loader, files, [RESERVED])[RESERVED].value or "") for loader in [*ALL, SYSTEMDS[1]]
    ]
    assert lengths == [4091, len(ports), 4091, 4091, len(ports)]


def test_imagined_files(tmp_path: Path) -> None:
    grow(tmp_path, {f"{ETC}/a.conf": f"{REUSE}=1", f"{ETC}/link.conf": "-> ../real", "/etc/real": f"{REUSE}=2"})
    etc = tmp_path.resolve() / "etc"

    def value(changes: dict[str, str | None]) -> str | None:
        files = boot_loaders.read_files(
            SYSTEMDS[0], str(tmp_path), {str(etc / name): text for name, text in changes.items()}
        )
        return precedence.boot_values(SYSTEMDS[0], files, [REUSE])[REUSE].value

    assert value({}) == "2"
    assert value({"real": f"{REUSE}=3"}) == "3"
    assert value({"real": None}) == "1"
    assert value({"sysctl.d/z.conf": f"{REUSE}=4"}) == "4"
    assert value({"sysctl.d/link.conf": None}) == "1"
    assert value({"elsewhere/z.conf": f"{REUSE}=5"}) == "2"


def test_assignments_by_name_of_whatever_file() -> None:
    """Whoever wins, and to whichever loader; neither patterns nor exceptions."""
    lines = f"{REUSE}=1\nnet/ipv4/tcp_tw_recycle = 1\n- {RESERVED} = 1\n-{RESERVED} = 0\nnet.ipv4.tcp_tw_r* = 1\n"
    files = [SysctlFile("a", lines), SysctlFile("b", f"-{REUSE}\n\n{REUSE} = 0\n")]
    found = {key: [(one.file, one.line, one.value) for one in assignments(files, key)] for key in (REUSE, RESERVED)}
    assert found == {REUSE: [("a", 1, "1"), ("b", 3, "0")], RESERVED: [("a", 4, "0")]}
    assert [one.line for one in assignments(files, "net.ipv4.tcp_tw_recycle")] == [2]


def test_every_file_that_some_loader_reads(tmp_path: Path) -> None:
    grow(tmp_path, {f"{ETC}/.hidden.conf": "a", f"{ETC}/b.conf": "b", "/etc/sysctl.conf": "c", f"{ETC}/not": "d"})
    assert [file.text for file in boot_files.read_every_file(str(tmp_path))] == ["a", "b", "c"]


def test_tuned(tmp_path: Path) -> None:
    assert late_writers.find_tuned(str(tmp_path)) is None
    grow(tmp_path, {"/etc/tuned/active_profile": "throughput-performance\n", "/proc/77/comm": "tuned\n"})
    assert late_writers.find_tuned(str(tmp_path)) == late_writers.Tuned("throughput-performance", True)
    grow(tmp_path, {"/etc/tuned/tuned-main.conf": "# x\nreapply_sysctl = 0\n", "/run/tuned/tuned.pid": "77\n"})
    assert late_writers.find_tuned(str(tmp_path)) == late_writers.Tuned("throughput-performance", False)


def test_ufw(tmp_path: Path) -> None:
    assert late_writers.find_ufw(str(tmp_path)) is None
    grow(tmp_path, {"/etc/ufw/ufw.conf": "# x\nENABLED=no\nLOGLEVEL=low\n"})
    assert late_writers.find_ufw(str(tmp_path)) == late_writers.Ufw(False, None)
    grow(tmp_path, {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/default/ufw": 'IPT_SYSCTL="/etc/ufw/sysctl.conf"\n'})
    assert late_writers.find_ufw(str(tmp_path)) == late_writers.Ufw(True, "/etc/ufw/sysctl.conf")

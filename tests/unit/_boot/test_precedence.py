# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the sysctl loaders, each by name. tests/integration holds them to the real loaders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import files as boot_files
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import precedence
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import (
    PROCPS,
    SYSTEMD,
    Loader,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.lines import SysctlFile, assignments
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.precedence import BootValue
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import FIN_TIMEOUT as FIN
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import (
    PORT_RANGE,
    UNPRIVILEGED_PORT_START,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import RESERVED_PORTS as RESERVED
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import TW_REUSE as REUSE
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import parse_ports
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_value import Version

EL7_SYSTEMD = Loader(SYSTEMD, (219,))
SYSTEMDS = [Loader(SYSTEMD, (247,)), Loader(SYSTEMD, (257,))]
EL7_PROCPS = Loader(PROCPS, (3, 3, 10))
OLD_PROCPS = Loader(PROCPS, (3, 3, 17))
NEW_PROCPS = Loader(PROCPS, (4, 0, 4))
ALL = [*SYSTEMDS, OLD_PROCPS, NEW_PROCPS]
WITH_GLOBS = [*SYSTEMDS, NEW_PROCPS]
NEW, OLD = (6, 18, 44), (4, 19, 0)


class Case(NamedTuple):
    """tree: path to text, or to "-> target" for a link. expected: value and deciding "file:line", or None."""

    name: str
    tree: dict[str, str]
    loaders: list[Loader]
    expected: tuple[str, str] | None
    key: str = REUSE


ETC = "/etc/sysctl.d"
CASES = [
    Case("nothing sets it", {f"{ETC}/a.conf": "# net.ipv4.tcp_tw_reuse = 1\n"}, ALL, None),
    Case("no files at all", {}, ALL, None),
    Case("the last line wins", {f"{ETC}/a.conf": f"{REUSE} = 0\n\n{REUSE} = 1"}, ALL, ("1", f"{ETC}/a.conf:3")),
    Case(
        "names sort as strings: 9-x after 50-b",
        {f"{ETC}/9-x.conf": f"{REUSE}=1", f"{ETC}/50-b.conf": f"{REUSE}=5"},
        ALL,
        ("1", f"{ETC}/9-x.conf:1"),
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
    Case("quotes stay, and the kernel refuses them", {f"{ETC}/a.conf": f'{REUSE} = "1"\n'}, ALL, None),
    Case("what comes after it is dropped", {f"{ETC}/a.conf": f"{REUSE} = 1 # x\n"}, ALL, ("1", f"{ETC}/a.conf:1")),
    Case("no value", {f"{ETC}/a.conf": f"{RESERVED}=1\n{RESERVED} =\n"}, WITH_GLOBS, ("", f"{ETC}/a.conf:2"), RESERVED),
    Case(
        "is skipped by procps before 4",
        {f"{ETC}/a.conf": f"{RESERVED}=1\n{RESERVED} =\n"},
        [OLD_PROCPS],
        ("1", f"{ETC}/a.conf:1"),
        RESERVED,
    ),
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


def simulate(loader: Loader, files: list[SysctlFile], key: str = REUSE, version: Version = NEW) -> BootValue:
    stage = precedence.loader_stage(loader, files, [key])
    return precedence.boot_values([stage], {key: None}, version)[key]


def decide(loader: Loader, root: Path, key: str = REUSE) -> BootValue:
    return simulate(loader, boot_loaders.read_files(loader, str(root)), key)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rules(case: Case, tmp_path: Path) -> None:
    grow(tmp_path, case.tree)
    for loader in case.loaders:
        found = decide(loader, tmp_path, case.key)
        assert (found.value is not None and (found.value, f"{found.file}:{found.line}")) == (case.expected or False), (
            loader
        )


def test_an_exception_is_named(tmp_path: Path) -> None:
    grow(tmp_path, {f"{ETC}/a.conf": f"net.ipv4.tcp_* = 2\n-{REUSE}\n"})
    for loader in WITH_GLOBS:
        assert decide(loader, tmp_path) == BootValue(None, f"{ETC}/a.conf", 2, loader.name)


def test_a_device_with_a_dot() -> None:
    files = [
        SysctlFile("a", "net.ipv4.conf.eth0/7.rp_filter = 1\n"),
        SysctlFile("b", "net/ipv4/conf/eth0.7/rp_filter = 2\n"),
    ]
    key = "net.ipv4.conf.eth0/7.rp_filter"
    for loader in ALL:
        assert simulate(loader, files, key) == BootValue("2", "b", 1, loader.name)


def test_a_refused_value_does_not_count() -> None:
    """But systemd tries the last one alone."""
    files = [SysctlFile("a", f"{REUSE} = 1\n{REUSE} = 7\n")]
    refused = BootValue(None, "a", 2, SYSTEMD, "7", "7 is outside 0 to 2")
    assert [simulate(loader, files) for loader in SYSTEMDS] == [refused, refused]
    assert [simulate(loader, files).value for loader in (OLD_PROCPS, NEW_PROCPS)] == ["1", "1"]


def test_one_key_bounds_the_other() -> None:
    text = "net.ipv4.ip_local_port_range = 500 65535\nnet.ipv4.ip_unprivileged_port_start = 500\n"
    start = {PORT_RANGE: "32768 60999", UNPRIVILEGED_PORT_START: "1024"}
    lines = text.splitlines(keepends=True)
    for order, expected in ((lines, None), (lines[::-1], "500 65535")):
        for loader in ALL:
            stage = precedence.loader_stage(loader, [SysctlFile("a", "".join(order))], start)
            values = precedence.boot_values([stage], start, NEW)
            assert values[PORT_RANGE].value == expected
            assert values[UNPRIVILEGED_PORT_START].value == "500"


def test_later_stages_win_where_the_kernel_takes_what_they_say() -> None:
    stages = [
        precedence.loader_stage(SYSTEMDS[0], [SysctlFile("a", f"{REUSE} = 1\n{FIN} = 30\n")], [REUSE, FIN]),
        precedence.loader_stage(NEW_PROCPS, [SysctlFile("b", f"\n{REUSE} = 0\n{FIN} = off\n")], [REUSE, FIN], "ufw"),
    ]
    values = precedence.boot_values(stages, {REUSE: None, FIN: None}, NEW)
    assert values == {REUSE: BootValue("0", "b", 2, "ufw"), FIN: BootValue("30", "a", 2, SYSTEMD)}


def test_long_lists_are_cut() -> None:
    ports = ",".join(map(str, range(10001, 12000)))
    files = [SysctlFile("a", f"{RESERVED} = {ports}\n")]

    def taken(version: Version) -> list[int]:
        values = [simulate(loader, files, RESERVED, version).value for loader in (OLD_PROCPS, *SYSTEMDS)]
        return [len(parse_ports(value or "")) for value in values]

    whole, part = 1999, 682
    assert ports[:4091].count(",") == part - 1
    assert taken(NEW) == [part, part, whole]
    # Kernels before 5.2 take the first page as it is cut, whoever writes, and with it a port that nobody has named.
    assert taken(OLD) == [part + 1] * 3
    assert 106 in parse_ports(simulate(SYSTEMDS[1], files, RESERVED, OLD).value or "")


def test_a_long_list_that_is_cut_within_a_range_is_refused_before_5_2() -> None:
    ports = ",".join(f"{port}-{port + 1}" for port in range(10001, 40000, 3))
    files = [SysctlFile("a", f"{RESERVED} = 12,123,{ports}\n")]
    found = simulate(SYSTEMDS[1], files, RESERVED, OLD)
    assert (found.value, found.line) == (None, 1)
    assert found.why == "11021-11 is not a range of ports"


def test_imagined_files(tmp_path: Path) -> None:
    grow(tmp_path, {f"{ETC}/a.conf": f"{REUSE}=1", f"{ETC}/link.conf": "-> ../real", "/etc/real": f"{REUSE}=2"})
    etc = tmp_path.resolve() / "etc"

    def value(changes: dict[str, str | None]) -> str | None:
        files = boot_loaders.read_files(
            SYSTEMDS[0], str(tmp_path), {str(etc / name): text for name, text in changes.items()}
        )
        return simulate(SYSTEMDS[0], files).value

    assert value({}) == "2"
    assert value({"real": f"{REUSE}=0"}) == "0"
    assert value({"real": None}) == "1"
    assert value({"sysctl.d/z.conf": f"{REUSE}=0"}) == "0"
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

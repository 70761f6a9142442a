# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation of the boot agrees with the real loaders and tuned of Debian 11 to 13, on whatever tree of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("sysctl_loaders.py")
VERSIONS = {
    "bullseye": {"systemd-sysctl": [247], "sysctl --system": [3, 3, 17]},
    "bookworm": {"systemd-sysctl": [252], "sysctl --system": [4, 0, 2]},
    "trixie": {"systemd-sysctl": [257], "sysctl --system": [4, 0, 4]},
}
LAUNCHERS = (["unshare", "-Urnm"], ["unshare", "-nm"])
TREES = 650

Tree = dict[str, dict[str, Any]]


class Loaders:
    """The loaders of one release, running in namespaces of their own until closed."""

    def __init__(self, release: str, launcher: list[str]) -> None:
        self.process = subprocess.Popen(
            [*launcher, sys.executable, str(DRIVER), str(ROOT / "build/loaders" / release)],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'build'}:{DRIVER.parent}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self.answer()

    def answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def ask(self, tree: Tree) -> None:
        assert self.process.stdin
        print(json.dumps(tree), file=self.process.stdin, flush=True)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=300)


@pytest.fixture(scope="module")
def releases() -> Iterator[dict[str, Loaders]]:
    """The loaders by release. Where there is no way to have them, skip; but fail where everything has to be tested."""
    give_up = pytest.fail if os.environ.get("TEST_EVERYTHING") else pytest.skip
    launcher = next((way for way in LAUNCHERS if subprocess.run([*way, "true"], check=False).returncode == 0), None)
    if launcher is None:
        give_up("neither user namespaces nor root: no private namespaces")
    fetched = subprocess.run([ROOT / "scripts/sysctl_loaders", *VERSIONS], check=False, capture_output=True, text=True)
    if fetched.returncode:
        give_up(f"no real loaders to compare with: {fetched.stderr.strip()}")
    loaders = {release: Loaders(release, launcher) for release in VERSIONS}
    yield loaders
    for one in loaders.values():
        one.close()


# Keys as they are, in other spellings, behind patterns, and missing ones.
NUMBERS = st.integers(1, 250).map(str)
SWITCHES = st.integers(0, 3).map(str)
RANGES = st.integers(20000, 29999).map(lambda low: f"{low} {low + 30001}")
TABBED_RANGES = st.integers(20000, 29999).map(lambda low: f"{low}\t{low + 30001}")
# What the kernel takes only in part, or not at all, or depending on another key.
ODD_VALUES = st.sampled_from(
    ["1 # remark", "1 ; remark", "0x10", "010", "08", "30000", '"9000 65500"', "1000 65535", "500 65535", "9000-65500"]
)
ODD_PORTS = st.sampled_from(["30000-32767 # NodePorts", "8080,", "5,,6", "0x50", "9,8-7", "1 2", "70000", '"80"'])
STARTS = st.sampled_from(["500", "1024", "33000", "x"])
PORTS = st.lists(st.integers(1, 65535).map(str), max_size=3).map(",".join)

NUMBER_NAMES = st.sampled_from(
    [
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_keepalive_intvl",
        "net/ipv4/tcp_fin_timeout",
        "/net/ipv4/tcp_keepalive_time",
        "net..ipv4.tcp_fin_timeout",
        "net/./ipv4//tcp_fin_timeout",
        "net.ipv4/tcp_fin_timeout",
        "net.ipv4.tcp_fin_timeout.",
        " net.ipv4.tcp_fin_timeout",
        "\xef\xbb\xbfnet.ipv4.tcp_fin_timeout",
        "-net.ipv4.tcp_keepalive_time",
        "net.ipv4.conf.lo/7.rp_filter",
        "net/ipv4/conf/lo.7/rp_filter",
        "net.ipv4.conf.lo.7.rp_filter",
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.conf.default.rp_filter",
        "net.ipv4.tcp_tw_recycle",
        "net.ipv4.tcp_fin_timeouts",
        "tcp_fin_timeout",
    ]
)
PATTERNS = st.sampled_from(
    [
        "net.ipv4.tcp_*",
        "net.ipv4.tcp_keepalive_*",
        "net.ipv4.tcp_keepalive_[ti]*",
        "net.ipv4.tcp_keepalive_[!t]*",
        "net.ipv4.tcp_keepalive_[^i]*",
        "net.*.tcp_fin_timeout",
        "net/*/tcp_fin_timeou?",
        "net/ipv?/tcp_{fin,keepalive}_t*",
        "net.ipv4.tcp_{fin_timeout,keepalive_time}",
        "*.tcp_fin_timeout",
        "net.ipv4.conf.*.rp_filter",
        "net.ipv4.conf.*",
        "net/ipv4/conf/lo*/rp_filter",
        "net.ipv4.conf.?[!e]?.rp_filter",
        "net.ipv4.conf.[ad]*.rp_*",
        "net.ipv4.*.rp_filter",
        "net.ipv4.ip_local_*",
    ]
)
SWITCH_NAMES = st.sampled_from(["net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps", "net.ipv4.tcp_t[wi]*s*"])
RANGE_NAMES = st.sampled_from(["net.ipv4.ip_local_port_range", "net.ipv4.ip_local_*", "net/ipv4/ip_local_port_*"])
RESERVED = st.just("net.ipv4.ip_local_reserved_ports")
ANY_NAME = st.one_of(NUMBER_NAMES, PATTERNS, SWITCH_NAMES, RANGE_NAMES, RESERVED)

ASSIGNMENTS = st.one_of(
    st.tuples(st.one_of(NUMBER_NAMES, PATTERNS), NUMBERS),
    st.tuples(NUMBER_NAMES, NUMBERS),
    st.tuples(SWITCH_NAMES, SWITCHES),
    st.tuples(RANGE_NAMES, st.one_of(RANGES, TABBED_RANGES)),
    st.tuples(RESERVED, PORTS),
    st.tuples(st.one_of(NUMBER_NAMES, SWITCH_NAMES, RANGE_NAMES), ODD_VALUES),
    st.tuples(RESERVED, ODD_PORTS),
    st.tuples(st.just("net.ipv4.ip_unprivileged_port_start"), STARTS),
    st.tuples(ANY_NAME, st.sampled_from(["", "=", "= 5", '"5"', "five", "-"])),
)
BEFORE = st.sampled_from(
    ["", "", "", "", " ", "\t", "-", "-", " -", "- ", "--", "\v", "\f", "#", ";", "=", "\xa0", "\0"]
)
EQUALS = st.sampled_from([" = ", "=", " =", "= ", "\t=\t", "=\v", "\r=", "=\r"])
AFTER = st.sampled_from(["", "", "", "", " ", "\t", " \t ", "\v", "\f"])
LINE_END = st.sampled_from(["\n", "\n", "\n", "\n", "\r\n", "\r\n", "\n\n", "\r", "\n\r", "\0", "\r\0", ""])

LINES = st.one_of(
    st.tuples(BEFORE, ASSIGNMENTS, EQUALS, AFTER, LINE_END).map(
        lambda parts: parts[0] + parts[1][0] + parts[2] + parts[1][1] + parts[3] + parts[4]
    ),
    st.tuples(ASSIGNMENTS, EQUALS).map(lambda parts: f"{parts[0][0]}{parts[1]}{parts[0][1]}\n"),
    st.tuples(BEFORE, ANY_NAME, AFTER, LINE_END).map("".join),
    st.tuples(ANY_NAME, AFTER).map(lambda parts: f"-{parts[0]}{parts[1]}\n"),
    st.sampled_from(
        ["\n", "# comment\n", "; comment = 1\n", "=\n", "= 5\n", "-\n", "x\n", "broken\n", " \r\n", "-=\n"]
    ),
)

# A few ways to set one key to a few values: here the order matters, and what was said before.
RIVAL_PATTERNS = st.builds(
    "{} = {}\n".format,
    st.sampled_from(["net.*.tcp_fin_timeout", "net/*/tcp_fin_timeout", "net.ipv?.tcp_fin_timeout"]),
    st.sampled_from(["11", "12"]),
)
RIVALS = st.one_of(RIVAL_PATTERNS, st.sampled_from(["net.ipv4.tcp_fin_timeout = 11\n", "-net.ipv4.tcp_fin_timeout\n"]))

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
NAMES = (
    "50-a.conf",
    "50-b.conf",
    "9-x.conf",
    "99-sysctl.conf",
    "B.conf",
    "a.conf",
    "z\xe4.conf",
    ".conf",
    ".h.conf",
    "50-a.conf~",
    "README",
)
PATHS = st.one_of(
    st.builds("{}/{}".format, st.sampled_from(DIRECTORIES), st.sampled_from(NAMES)),
    st.builds("{}/{}".format, st.sampled_from(DIRECTORIES[:2]), st.sampled_from(NAMES[:6])),
    st.just("/etc/sysctl.conf"),
)
LINKS = ["/dev/null", "../sysctl.conf", "/etc/sysctl.conf", "50-a.conf", "/run/sysctl.d/50-b.conf", "nowhere"]
TEXTS = st.one_of(
    st.lists(LINES, max_size=6),
    st.lists(LINES, max_size=6),
    st.lists(RIVAL_PATTERNS, min_size=3, max_size=6),
    st.lists(RIVALS, min_size=3, max_size=6),
).map(lambda lines: {"text": "".join(lines)})
CONTENTS = st.one_of(
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.sampled_from(LINKS).map(lambda target: {"link": target}),
    st.just({"directory": True}),
)
LINKED = {"/etc/sysctl.d": {"directory": True}, "/run/sysctl.d": {"link": "../etc/sysctl.d"}}
LINKED_DIRECTORIES = st.sampled_from([{}, {}, {}, {}, LINKED])
# A name is not in a section twice, which older ones take for an error.
PROFILE_NAMES = [
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_time",
    "net/ipv4/tcp_fin_timeout",
    "net.ipv4.conf.lo/7.rp_filter",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_fin_timeouts",
]
PROFILE_LINES = st.dictionaries(st.sampled_from(PROFILE_NAMES), st.one_of(NUMBERS, SWITCHES), max_size=4).map(
    lambda pairs: "".join(f"{name} = {value}\n" for name, value in pairs.items())
)
SECTIONS = st.sampled_from(["[sysctl]\n", "[sysctl]\n", "[sysctl]\nreplace=1\n", "[sysctl]\nenabled=0\n", "[vm]\n"])
PROFILES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["[main]\nsummary=x\n", "[main]\ninclude=base\n", "# x\n[main]\ninclude = base # y\n"]),
    SECTIONS,
    PROFILE_LINES,
    st.one_of(st.just(""), PROFILE_LINES.map("[more]\ntype=sysctl\n{}".format)),
)
BASES = PROFILE_LINES.map("[sysctl]\nnet.ipv4.ip_local_port_range = 9000 65499  # as for Oracle\n{}".format)


def tuned_tree(names: str, main: str, profile: str, base: str) -> Tree:
    """Newer ones have profiles in a directory of their own."""
    texts = {"/etc/tuned/active_profile": names, "/etc/tuned/tuned-main.conf": main}
    for directory in ("/etc/tuned", "/etc/tuned/profiles"):
        texts |= {f"{directory}/own/tuned.conf": profile, f"{directory}/base/tuned.conf": base}
    return {path: {"text": text} for path, text in texts.items()}


TUNED = st.builds(
    tuned_tree,
    st.sampled_from(["own\n", "own\n", "base\n"]),
    st.sampled_from(["", "reapply_sysctl = 1\n", "reapply_sysctl = 0\n", "# reapply_sysctl = 0\n"]),
    PROFILES,
    BASES,
)
TREE = st.builds(
    lambda linked, tree, tuned: {**linked, **tree, **tuned},
    LINKED_DIRECTORIES,
    st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=6),
    st.one_of(st.just({}), TUNED),
)


def differences(releases: dict[str, Loaders], tree: Tree) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Where running and predicted values differ, by release, loader and key. The releases work in parallel."""
    for loaders in releases.values():
        loaders.ask(tree)
    return {
        (release, loader, key): (running, answer["predicted"][key])
        for release, loaders in releases.items()
        for loader, answer in loaders.answer().items()
        for key, running in answer["running"].items()
        if running != answer["predicted"][key]
    }


def test_agrees_with_the_real_loaders(releases: dict[str, Loaders]) -> None:
    assert {release: loaders.versions for release, loaders in releases.items()} == VERSIONS
    seen = set()

    @settings(max_examples=TREES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TREE)
    def agrees(tree: Tree) -> None:
        seen.add(json.dumps(tree, sort_keys=True))
        assert not differences(releases, tree)

    agrees()
    print(f"{len(seen)} trees, each loaded by {sum(map(len, VERSIONS.values()))} loaders")
    assert len(seen) >= 500


@pytest.mark.parametrize("span", [0, 1])
def test_long_reserved_lists_are_cut_where_they_really_are(releases: dict[str, Loaders], span: int) -> None:
    """The first entries shift all others, byte by byte, over the end of the page."""
    ports = [f"{port}-{port + span}" if span else f"{port}" for port in range(10001, 50000, 3)]
    for shift in range(2, 14):
        first = ["22"] * (shift % 2) + ["1"] * ((shift - shift % 2 * 3) // 2)
        entries = ",".join(first + ports)
        for length in (4094, 4095, 4096, 4108, 9000):
            value = entries[: entries.rindex(",", 0, length + 1)]
            text = f"net.ipv4.ip_local_reserved_ports = {value}\n"
            assert not differences(releases, {"/etc/sysctl.d/a.conf": {"text": text}})

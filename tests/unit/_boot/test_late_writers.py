# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sets sysctls after the loader of the boot: what is found of them in trees of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import PROCPS, Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.late_writers import (
    find_late_writers,
    find_ufw,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.precedence import still_unknown
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.tuned import find_tuned
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import PORT_RANGE as RANGE
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import TW_REUSE as REUSE

ACTIVE = {"/etc/tuned/active_profile": "own\n"}
UFW = {"/etc/ufw/ufw.conf": "# x\nENABLED=yes\n", "/etc/default/ufw": 'IPT_SYSCTL="/etc/ufw/sysctl.conf"\n'}


def grow(root: Path, tree: dict[str, str], mode: int = 0o755) -> Path:
    for name, text in tree.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    return root


def written(root: Path, first_boot: bool = False) -> list[tuple[str, str, str, str]]:
    """Writer, key, value, file:line of each write."""
    found = find_late_writers([Loader(PROCPS, (4, 0, 2))], [REUSE, RANGE], str(root))
    stages = found.first_boot if first_boot else found.stages
    return [(stage.name, one.key, one.value, f"{one.file}:{one.line}") for stage in stages for one in stage.writes]


def test_nothing_is_there(tmp_path: Path) -> None:
    assert find_late_writers([], [REUSE], str(tmp_path)) == ([], [], None)


@pytest.mark.parametrize("directory", ["network/if-up.d", "NetworkManager/dispatcher.d"])
def test_what_is_no_script_sets_nothing(tmp_path: Path, directory: str) -> None:
    """A link that leads nowhere, one in a circle, a directory and a pipe."""
    place = grow(tmp_path, {f"/etc/{directory}/zz": f"sysctl -w {REUSE}=0\n"}) / "etc" / directory
    (place / "gone").symlink_to("/nowhere/at/all")
    (place / "circle").symlink_to("circle")
    (place / "more").mkdir()
    os.mkfifo(place / "pipe")
    assert [(key, value) for _name, key, value, _place in written(tmp_path)] == [(REUSE, "0")]


UNITS = "/usr/lib/systemd/system/tuned.service"
STARTED = "/etc/systemd/system/multi-user.target.wants/tuned.service"


@pytest.mark.parametrize(
    ("units", "is_found"),
    [
        ([], True),
        ([UNITS, STARTED], True),
        ([UNITS, STARTED.replace("tuned.", "tuned-ppd.")], True),
        ([UNITS], False),
        ([UNITS.replace("/usr", "")], False),
    ],
    ids=["no systemd", "enabled", "by tuned-ppd", "disabled", "disabled, no merged /usr"],
)
def test_tuned_that_no_boot_starts(tmp_path: Path, units: list[str], is_found: bool) -> None:
    """Its active profile stays behind where it is disabled."""
    tree = {**ACTIVE, "/etc/tuned/own/tuned.conf": f"[sysctl]\n{REUSE}=0\n", **dict.fromkeys(units, "")}
    assert bool(find_tuned(str(grow(tmp_path, tree)))) is is_found


def test_tuned_that_is_masked(tmp_path: Path) -> None:
    grow(tmp_path, {**ACTIVE, UNITS: "", STARTED: ""})
    (tmp_path / "etc/systemd/system/tuned.service").symlink_to("/dev/null")
    assert find_tuned(str(tmp_path)) is None


def test_tuned_applies_its_profile_and_then_the_files_of_run_and_etc(tmp_path: Path) -> None:
    tree = {
        **ACTIVE,
        "/usr/lib/tuned/own/tuned.conf": f"[main]\ninclude=base\n[sysctl]\n{REUSE} = 2 # remark\n",
        "/usr/lib/tuned/base/tuned.conf": f"[sysctl]\n{REUSE}=0\n{RANGE} = 9000 65499\n",
        "/run/sysctl.d/50-a.conf": f"{REUSE} = 1\n",
        "/etc/sysctl.d/50-a.conf": "hidden by that of /run\n",
        "/etc/sysctl.d/99-b.conf": f"net/ipv4/tcp_tw_reuse = 2\n-{REUSE} = 0\nnet.ipv4.tcp_tw_* = 0\n{REUSE} =\n",
        "/usr/lib/sysctl.d/zz.conf": f"{REUSE} = 0\n",
        "/etc/sysctl.conf": f"\n{REUSE} = 0\n",
    }
    assert written(grow(tmp_path, tree)) == [
        ("tuned", REUSE, "2", "/usr/lib/tuned/own/tuned.conf:4"),
        ("tuned", RANGE, "9000 65499", "/usr/lib/tuned/base/tuned.conf:3"),
        ("tuned", REUSE, "1", "/run/sysctl.d/50-a.conf:1"),
        ("tuned", REUSE, "2", "/etc/sysctl.d/99-b.conf:1"),
        ("tuned", REUSE, "0", "/etc/sysctl.conf:2"),
    ]


@pytest.mark.parametrize(
    ("main", "profile", "applied"),
    [
        ("", None, True),
        ("reapply_sysctl = True  # as ever\n", "[sysctl]\n", True),
        ("reapply_sysctl = 0\n", "[sysctl]\n", False),
        ("", "[vm]\n", False),
        ("", "[sysctl]\nenabled=0\n", False),
        ("", "[more]\ntype=sysctl\n", True),
    ],
)
def test_tuned_applies_files_only_if_it_has_sysctls(
    tmp_path: Path, main: str, profile: str | None, applied: bool
) -> None:
    tree = {**ACTIVE, "/etc/tuned/tuned-main.conf": main, "/etc/sysctl.conf": f"{REUSE} = 0\n"}
    if profile is not None:
        tree["/etc/tuned/own/tuned.conf"] = profile
    assert bool(written(grow(tmp_path, tree))) is applied


def test_what_tuned_sets_is_not_always_known(tmp_path: Path) -> None:
    profile = f"[variables]\na=1\n[sysctl]\n{REUSE} = ${{a}}\nnet.ipv4.tcp_rmem = >5\n"
    tuned = find_tuned(str(grow(tmp_path, {**ACTIVE, "/etc/tuned/profiles/own/tuned.conf": profile})))
    assert tuned
    assert [(one.path, one.line) for one in tuned.unknown] == [("net/ipv4/tcp_tw_reuse", 4), ("net/ipv4/tcp_rmem", 5)]


def test_newer_ones_take_a_slash_for_a_dot(tmp_path: Path) -> None:
    tree = {**ACTIVE, "/etc/sysctl.conf": "net/ipv4/tcp_tw_reuse = 0\n"}
    assert written(grow(tmp_path, tree))
    code = '\treturn "/proc/sys/%s" % self._cmd.tr(option, "./", "/.")\n'
    grow(tmp_path, {"/usr/lib/python3.13/site-packages/tuned/plugins/plugin_sysctl.py": code})
    assert not written(tmp_path)


def test_ufw(tmp_path: Path) -> None:
    assert find_ufw(str(tmp_path)) is None
    grow(tmp_path, {**UFW, "/etc/ufw/sysctl.conf": f"#\nnet/ipv4/tcp_tw_reuse=0\n-{RANGE} = 9000 65000\n"})
    assert written(tmp_path) == [
        ("ufw", REUSE, "0", "/etc/ufw/sysctl.conf:2"),
        ("ufw", RANGE, "9000 65000", "/etc/ufw/sysctl.conf:3"),
    ]
    grow(tmp_path, {"/etc/ufw/ufw.conf": "ENABLED=no\n"})
    assert not written(tmp_path)


SET = f"sysctl -w {REUSE}=0"
SEEN = [
    ("ifup", "/etc/network/interfaces", f"auto eth0\niface eth0 inet dhcp\n    post-up {SET} || true\n", 3),
    ("ifup", "/etc/network/interfaces.d/eth1", f'up /sbin/sysctl -q -w "{REUSE}=0"\n', 1),
    ("ifup", "/etc/network/if-up.d/tune", f"#!/bin/sh\n[ $IFACE = lo ] || exit 0\n{SET} >/dev/null\n", 3),
    ("NetworkManager", "/etc/NetworkManager/dispatcher.d/50-a", f"#!/bin/sh\nif true; then {SET}; fi\n", 2),
    ("NetworkManager", "/usr/lib/NetworkManager/dispatcher.d/a", f"#!/bin/sh\nsudo sysctl '{REUSE}'='0'\n", 2),
    ("cloud-init", "/etc/cloud/cloud.cfg.d/9.cfg", f"#cloud-config\nbootcmd:\n  - {SET}\n  - echo\n", 3),
    ("cloud-init", "/etc/cloud/cloud.cfg.d/9.cfg", f'bootcmd:\n- [ sysctl, -w, "{REUSE}=0" ]\n', 2),
    ("cloud-init", "/etc/cloud/cloud.cfg.d/9.cfg", f'bootcmd:\n- [ sh, -c, "{SET}; true" ]\n', 2),
    ("cloud-init", "/var/lib/cloud/instance/user-data.txt", f'#cloud-config\nbootcmd:\n  - "{SET}"\n', 3),
    ("cloud-init", "/var/lib/cloud/scripts/per-boot/a", f"#!/bin/sh\n{SET}\n", 2),
    ("rc.local", "/etc/rc.local", f"#!/bin/sh\n# sysctl\n{SET} # remark\n", 3),
]


@pytest.mark.parametrize(("name", "path", "text", "line"), SEEN)
def test_calls_that_are_plainly_visible(tmp_path: Path, name: str, path: str, text: str, line: int) -> None:
    assert written(grow(tmp_path, {path: text})) == [(name, REUSE, "0", f"{path}:{line}")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/network/interfaces", f"# up {SET}\niface eth0 inet dhcp\n    down {SET}\n"),
        ("/etc/network/if-up.d/tune", f"#!/bin/sh\n# {SET}\necho {SET}\necho '{SET}'\nsysctl {REUSE}\n"),
        ("/etc/network/if-up.d/tune", f"#!/bin/sh\nsysctl -w {REUSE}=$VALUE\nsysctl -w net.ipv4.$KEY=1\n"),
        ("/etc/cloud/cloud.cfg.d/9.cfg", f"runcmd:\n  - {SET}\nother:\n  - {SET}\n"),
        ("/etc/cloud/cloud.cfg.d/9.txt", f"bootcmd:\n  - {SET}\n"),
    ],
)
def test_what_is_none_at_each_boot(tmp_path: Path, path: str, text: str) -> None:
    assert written(grow(tmp_path, {path: text})) == []


def test_a_script_must_be_executable(tmp_path: Path) -> None:
    assert written(grow(tmp_path, {"/etc/network/if-up.d/tune": f"#!/bin/sh\n{SET}\n"}, 0o644)) == []


def test_a_range_in_quotes(tmp_path: Path) -> None:
    tree = {"/etc/rc.local": f'#!/bin/sh\nsysctl -w {RANGE}="9000 65000" {REUSE}=1 && sysctl -w {REUSE}=2\n'}
    found = [write[1:3] for write in written(grow(tmp_path, tree))]
    assert found == [(RANGE, "9000 65000"), (REUSE, "1"), (REUSE, "2")]


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("sysctl -p", "/etc/sysctl.conf:1"),
        ("sysctl -q -p /etc/a.conf", "/etc/a.conf:2"),
        ("sysctl --load=/etc/a.conf", "/etc/a.conf:2"),
        ("sysctl --system", "/etc/sysctl.conf:1"),
    ],
)
def test_files_that_they_load(tmp_path: Path, command: str, place: str) -> None:
    tree = {"/etc/sysctl.conf": f"{REUSE}=0\n", "/etc/a.conf": f"\n{REUSE}=0\n"}
    grow(tmp_path, {**tree, "/etc/rc.local": f"#!/bin/sh\n{command}\n"})
    assert written(tmp_path) == [("rc.local", REUSE, "0", place)]


def test_what_cloud_init_does_once(tmp_path: Path) -> None:
    grow(tmp_path, {"/etc/cloud/cloud.cfg.d/9.cfg": f"runcmd:\n - {SET}\nbootcmd:\n - true\n"})
    grow(tmp_path, {"/var/lib/cloud/instance/user-data.txt": f"#!/bin/sh\n{SET}\n"})
    places = ("/etc/cloud/cloud.cfg.d/9.cfg:2", "/var/lib/cloud/instance/user-data.txt:2")
    assert written(tmp_path, first_boot=True) == [("cloud-init", REUSE, "0", place) for place in places]
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("units", "is_found"), [([], True), ([UNITS, STARTED], True), ([UNITS], False)], ids=["no systemd", "on", "off"]
)
def test_ufw_that_no_boot_starts(tmp_path: Path, units: list[str], is_found: bool) -> None:
    """Its service is disabled, and the file of `ufw enable` still says yes."""
    tree = {**UFW, **{unit.replace("tuned", "ufw"): "" for unit in units}}
    assert bool(find_ufw(str(grow(tmp_path, tree)))) is is_found


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        ("/etc/cloud/cloud.cfg", f"bootcmd:\n - sysctl -w {REUSE}=$VALUE\n", "/etc/cloud/cloud.cfg:2"),
        ("/etc/cloud/cloud.cfg", f'bootcmd:\n - [sysctl, -w, "{REUSE}={{{{ v1.x }}}}"]\n', "/etc/cloud/cloud.cfg:2"),
        ("/etc/rc.local", f"#!/bin/sh\nsysctl -w {REUSE}=`cat /etc/reuse`\n", "/etc/rc.local:2"),
        ("/etc/rc.local", f"#!/bin/sh\nsysctl -w {REUSE}=$(cat /etc/reuse)\n", "/etc/rc.local:2"),
        ("/etc/rc.local", f"#!/bin/sh\nsysctl -w {REUSE}=$VALUE\nsysctl -w {REUSE}=1\n", None),
        ("/etc/rc.local", "#!/bin/sh\nsysctl -w net.ipv4.$KEY=1\nsysctl -p $FILE\n", None),
    ],
)
def test_values_that_variables_hold(tmp_path: Path, path: str, text: str, place: str | None) -> None:
    """It is known who sets the key, unless somebody sets it later."""
    grow(tmp_path, {path: text, "/etc/sysctl.conf": f"{REUSE}=0\n"})
    found = still_unknown(find_late_writers([Loader(PROCPS, (4, 0, 2))], [REUSE, RANGE], str(tmp_path)).stages)
    assert [f"{write.file}:{write.line}" for _writer, write in found.values()] == ([place] if place else [])
    assert [write for write in written(tmp_path) if write[2] != "1"] == []

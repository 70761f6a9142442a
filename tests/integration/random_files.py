# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of files by chance, as a boot may find them: sysctl files with whatever is in them, and profiles of tuned."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS

from .real_release import TUNED, UFW, WANTED

# Keys as they are, in other spellings, behind patterns, and missing ones.
NUMBER_NAMES = (
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
)
PATTERNS = (
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
)
SWITCH_NAMES = ("net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps", "net.ipv4.tcp_t[wi]*s*")
RANGE_NAMES = (PORT_RANGE, "net.ipv4.ip_local_*", "net/ipv4/ip_local_port_*")
ANY_NAME = (*NUMBER_NAMES, *PATTERNS, *SWITCH_NAMES, *RANGE_NAMES, RESERVED_PORTS)
# What the kernel takes only in part, or not at all, or depending on another key.
ODD_VALUES = (
    *("1 # remark", "1 ; remark", "0x10", "010", "08", "30000"),
    *('"9000 65500"', "1000 65535", "500 65535", "9000-65500"),
)
ODD_PORTS = ("30000-32767 # NodePorts", "8080,", "5,,6", "0x50", "9,8-7", "1 2", "70000", '"80"')
BEFORE = ("", "", "", "", " ", "\t", "-", "-", " -", "- ", "--", "\v", "\f", "#", ";", "=", "\xa0", "\0")
EQUALS = (" = ", "=", " =", "= ", "\t=\t", "=\v", "\r=", "=\r")
AFTER = ("", "", "", "", " ", "\t", " \t ", "\v", "\f")
LINE_END = ("\n", "\n", "\n", "\n", "\r\n", "\r\n", "\n\n", "\r", "\n\r", "\0", "\r\0", "")
PLAIN_LINES = ("\n", "# comment\n", "; comment = 1\n", "=\n", "= 5\n", "-\n", "x\n", "broken\n", " \r\n", "-=\n")

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
NAMES = (
    *("50-a.conf", "50-b.conf", "9-x.conf", "99-sysctl.conf", "B.conf", "a.conf"),
    *("z\xe4.conf", ".conf", ".h.conf", "50-a.conf~", "README"),
)
LINKS = ("/dev/null", "../sysctl.conf", "/etc/sysctl.conf", "50-a.conf", "/run/sysctl.d/50-b.conf", "nowhere")

# A name is not in a section twice, which older ones take for an error.
PROFILE_NAMES = (
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_time",
    "net/ipv4/tcp_fin_timeout",
    "net.ipv4.conf.lo/7.rp_filter",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_fin_timeouts",
)


def grow(dice: Random) -> list[str]:
    """Write files; what they are, in words. Of two entries with one path (by links) the first counts."""
    if dice.random() < 0.2:
        Path("/run").joinpath("sysctl.d").symlink_to("../etc/sysctl.d")
    said = []
    for _number in range(dice.randint(1, 6)):
        path = Path(_path(dice))
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            continue
        kind = dice.random()
        if kind < 0.7:
            text = _text(dice)
            path.write_bytes(text.encode("latin-1"))
            said.append(f"{path}: {text!r}")
        elif kind < 0.85:
            path.symlink_to(dice.choice(LINKS))
            said.append(f"{path} -> {path.readlink()}")
        else:
            path.mkdir()
            said.append(f"{path}/")
    late_writers = {**(_tuned(dice) if dice.random() < 0.5 else {}), **(_ufw(dice) if dice.random() < 0.3 else {})}
    for name, text in late_writers.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text.encode("latin-1"))
        said.append(f"{name}: {text!r}")
    WANTED.mkdir(parents=True)
    for service, file in ((TUNED, "/etc/tuned/active_profile"), (UFW, "/etc/ufw/ufw.conf")):
        if file in late_writers and dice.random() < 0.85:
            service.symlink_to(Path("/lib/systemd/system", service.name))
            said.append(f"{service.name} is enabled")
    return said


def _path(dice: Random) -> str:
    kind = dice.randrange(3)
    if kind == 0:
        return "/etc/sysctl.conf"
    names, directories = (NAMES, DIRECTORIES) if kind == 1 else (NAMES[:6], DIRECTORIES[:2])
    return f"{dice.choice(directories)}/{dice.choice(names)}"


def _text(dice: Random) -> str:
    kind = dice.randrange(4)
    if kind < 2:
        return "".join(_line(dice) for _number in range(dice.randint(0, 6)))
    return "".join(_rival(dice, patterns_only=kind == 2) for _number in range(dice.randint(3, 6)))


def _rival(dice: Random, patterns_only: bool) -> str:
    """A few ways to set one key to a few values: here the order matters, and what was said before."""
    if not patterns_only and dice.random() < 0.5:
        return dice.choice(["net.ipv4.tcp_fin_timeout = 11\n", "-net.ipv4.tcp_fin_timeout\n"])
    name = dice.choice(["net.*.tcp_fin_timeout", "net/*/tcp_fin_timeout", "net.ipv?.tcp_fin_timeout"])
    return f"{name} = {dice.choice(['11', '12'])}\n"


def _line(dice: Random) -> str:
    kind = dice.randrange(5)
    if kind == 0:
        name, value = _assignment(dice)
        return dice.choice(BEFORE) + name + dice.choice(EQUALS) + value + dice.choice(AFTER) + dice.choice(LINE_END)
    if kind == 1:
        name, value = _assignment(dice)
        return f"{name}{dice.choice(EQUALS)}{value}\n"
    if kind == 2:
        return dice.choice(BEFORE) + dice.choice(ANY_NAME) + dice.choice(AFTER) + dice.choice(LINE_END)
    return f"-{dice.choice(ANY_NAME)}{dice.choice(AFTER)}\n" if kind == 3 else dice.choice(PLAIN_LINES)


def _assignment(dice: Random) -> tuple[str, str]:
    low = dice.randint(20000, 29999)
    ports = [str(dice.randint(1, 65535)) for _number in range(dice.randint(0, 3))]
    return dice.choice(
        [
            (dice.choice([*NUMBER_NAMES, *PATTERNS]), _number(dice)),
            (dice.choice(NUMBER_NAMES), _number(dice)),
            (dice.choice(SWITCH_NAMES), _switch(dice)),
            (dice.choice(RANGE_NAMES), f"{low}{dice.choice(' 	')}{low + 30001}"),
            (RESERVED_PORTS, ",".join(ports)),
            (dice.choice([*NUMBER_NAMES, *SWITCH_NAMES, *RANGE_NAMES]), dice.choice(ODD_VALUES)),
            (RESERVED_PORTS, dice.choice(ODD_PORTS)),
            ("net.ipv4.ip_unprivileged_port_start", dice.choice(["500", "1024", "33000", "x"])),
            (dice.choice(ANY_NAME), dice.choice(["", "=", "= 5", '"5"', "five", "-"])),
        ]
    )


def _number(dice: Random) -> str:
    return str(dice.randint(1, 250))


def _switch(dice: Random) -> str:
    return str(dice.randint(0, 3))


def _tuned(dice: Random) -> dict[str, str]:
    """Newer ones have profiles in a directory of their own."""
    main = dice.choice(["", "reapply_sysctl = 1\n", "reapply_sysctl = 0\n", "# reapply_sysctl = 0\n"])
    head = dice.choice(["[main]\nsummary=x\n", "[main]\ninclude=base\n", "# x\n[main]\ninclude = base # y\n"])
    section = dice.choice(["[sysctl]\n", "[sysctl]\n", "[sysctl]\nreplace=1\n", "[sysctl]\nenabled=0\n", "[vm]\n"])
    more = dice.choice(["", f"[more]\ntype=sysctl\n{_profile_lines(dice)}"])
    profile = f"{head}{section}{_profile_lines(dice)}{more}"
    base = f"[sysctl]\n{PORT_RANGE} = 9000 65499  # as for Oracle\n{_profile_lines(dice)}"
    texts = {"/etc/tuned/active_profile": dice.choice(["own\n", "own\n", "base\n"]), "/etc/tuned/tuned-main.conf": main}
    for directory in ("/etc/tuned", "/etc/tuned/profiles"):
        texts |= {f"{directory}/own/tuned.conf": profile, f"{directory}/base/tuned.conf": base}
    return texts


def _profile_lines(dice: Random) -> str:
    names = dice.sample(PROFILE_NAMES, dice.randint(0, 4))
    return "".join(f"{name} = {dice.choice([_number, _switch])(dice)}\n" for name in names)


def _ufw(dice: Random) -> dict[str, str]:
    return {
        "/etc/ufw/ufw.conf": f"ENABLED={dice.choice(['yes', 'yes', 'no'])}\n",
        "/etc/default/ufw": "IPT_SYSCTL=/etc/ufw/sysctl.conf\n",
        "/etc/ufw/sysctl.conf": _text(dice),
    }

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sets sysctls once more, after the loader of the boot: tuned and ufw."""

import os
import re
from typing import Dict, NamedTuple, Optional

_TUNED_PROFILE = "etc/tuned/active_profile"
_TUNED_MAIN = "etc/tuned/tuned-main.conf"
_UFW_SWITCH = "etc/ufw/ufw.conf"
_UFW_DEFAULTS = "etc/default/ufw"

_ASSIGNMENT = re.compile(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_TRUE = ("1", "Y", "YES", "T", "TRUE")


class Tuned(NamedTuple):
    """reapply_sysctl: it sets the values of files in /etc and /run after its profile's; if not, the profile wins."""

    profile: str
    reapply_sysctl: bool


class Ufw(NamedTuple):
    """enabled: it starts at boot. sysctl_file: what it then loads, None for nothing."""

    enabled: bool
    sysctl_file: Optional[str]


def find_tuned(root: str = "/") -> Optional[Tuned]:
    """None where no profile is active."""
    profile = _read(root, _TUNED_PROFILE).strip()
    if not profile:
        return None
    reapply = _assignments(_read(root, _TUNED_MAIN)).get("reapply_sysctl", "1")
    return Tuned(profile, reapply.upper() in _TRUE)


def find_ufw(root: str = "/") -> Optional[Ufw]:
    """None where it is not installed."""
    switch = _assignments(_read(root, _UFW_SWITCH))
    if not switch:
        return None
    sysctl_file = _assignments(_read(root, _UFW_DEFAULTS)).get("IPT_SYSCTL", "").strip("\"'")
    return Ufw(switch.get("ENABLED", "no").strip("\"'").lower() == "yes", sysctl_file or None)


def _assignments(text: str) -> Dict[str, str]:
    return dict(_ASSIGNMENT.findall(text))


def _read(root: str, path: str) -> str:
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""

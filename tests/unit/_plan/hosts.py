# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usages as the plan reads them, and hosts on which a plan has been carried out."""

from __future__ import annotations

from typing import Any

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan

DEFAULTS = {
    "ip_local_port_range": "32768 60999",
    "ip_local_reserved_ports": "",
    "ip_unprivileged_port_start": "1024",
    "tcp_tw_reuse": "2",
    "tcp_tw_reuse_delay": "1000",
    "tcp_tw_recycle": None,
    "tcp_timestamps": "1",
    "tcp_fin_timeout": "60",
    "tcp_max_tw_buckets": "131072",
}

OLD_HOST = {
    "ip_unprivileged_port_start": None,
    "tcp_tw_reuse": "0",
    "tcp_tw_reuse_delay": None,
    "tcp_tw_recycle": "0",
}


def usage(
    release: str = "6.18.44",
    tcp: Any = (),
    udp: Any = (),
    files: str = "",
    lines: Any = (),
    claims: Any = (),
    udp_clients: Any = (),
    own: Any = None,
    asked: str = "",
    others_of_ours: Any = (),
    **changes: str | None,
) -> dict[str, Any]:
    sysctls = {f"net.ipv4.{name}": value for name, value in {**DEFAULTS, **changes}.items()}
    return {
        "sysctls": sysctls,
        "kernel": features.describe(release, sysctls),
        "listening_ports": {"tcp": list(tcp), "udp": list(udp), "udp_clients": list(udp_clients)},
        "reserved_in_files": files,
        "port_lines": list(lines),
        "claims": list(claims),
        "journal": own and journal(own, asked),
        "other_dropins": [journal(one, "") for one in others_of_ours],
    }


def journal(own: dict[str, tuple[str, str]], asked: str) -> dict[str, Any]:
    """own: names of keys, each with the value before and the one that was applied."""
    keys = {f"net.ipv4.{name}": {"before": before, "applied": applied} for name, (before, applied) in own.items()}
    return {"path": "/etc/sysctl.d/99-zz-ephemeral-ports.conf", "applied": keys, "asked": asked}


def decide(observed: dict[str, Any], **policy: Any) -> dict[str, dict[str, Any]]:
    return {setting["key"].rpartition(".")[2]: setting for setting in make_plan(observed, policy)["settings"]}


def after(observed: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """The host as it is once the plan is carried out."""
    plan, own, sysctls = (
        make_plan(observed, policy),
        (observed["journal"] or {}).get("applied", {}),
        observed["sysctls"],
    )
    before = {key: one["before"] if one["applied"] == sysctls[key] else sysctls[key] for key, one in own.items()}
    wanted = {one["key"]: one["wanted"] for one in plan["dropin"]}
    released = {one["key"]: before[one["key"]] for one in plan["settings"] if one["action"] == "release"}
    left = {key: {"before": before.get(key, sysctls[key]), "applied": value} for key, value in wanted.items()}
    journal = observed["journal"] and {**observed["journal"], "applied": left}
    return {**observed, "sysctls": {**sysctls, **released, **wanted}, "journal": journal}


def claim(by: str, ports: str, where: str = "") -> dict[str, str]:
    return {"by": by, "ports": ports, "where": where}


NODE_PORTS = [claim("kubernetes", "30000-32767")]
REFUSED = {
    "key": "net.ipv4.ip_local_reserved_ports",
    "file": "/etc/sysctl.d/50-site.conf",
    "line": 3,
    "value": "30000-32767 # node ports",
    "means": "30000-32767",
    "refused": True,
}
NOMAD = {
    "key": "net.ipv4.ip_local_port_range",
    "file": "/etc/sysctl.d/10-nomad.conf",
    "line": 1,
    "value": "49152 65535",
    "means": "49152 65535",
    "refused": False,
}

RANGE_OF_OURS = {"ip_local_port_range": "10240 65535", "own": {"ip_local_port_range": ("32768 60999", "10240 65535")}}
PORTS_OF_OURS = {
    "ip_local_reserved_ports": "7000,8080,9000-9010",
    "own": {"ip_local_reserved_ports": ("7000", "7000,8080,9000-9010")},
    "asked": "9000-9010",
}

# What, host, policy, key, wanted, action, part of the reason.
Case = tuple[str, dict[str, Any], dict[str, Any], str, str | None, str, str]


def check_decision(case: Case) -> None:
    _what, host, policy, key, wanted, action, reason = case
    setting = decide(usage(**host), **policy)[key]
    assert (setting["wanted"], setting["action"]) == (wanted, action)
    assert reason in setting["reason"]
    assert setting["reason"].endswith(".")


def check_second_run(case: Case) -> None:
    """It sets nothing, and its drop-in has the same text."""
    _what, host, policy, *_expected = case
    first = usage(**host)
    second = make_plan(after(first, **policy), policy)
    assert [one["key"] for one in second["settings"] if one["action"] == "set"] == []
    text = ("key", "wanted", "purpose", "parts")
    assert [[one[name] for name in text] for one in second["dropin"]] == [
        [one[name] for name in text] for one in make_plan(first, policy)["dropin"]
    ]

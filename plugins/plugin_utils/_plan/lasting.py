# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings of another network namespace are made to last, in words and ready to paste. Pure.

What a host says is never pasted as it is: a name or value that is not plain is left out. There are no double quotes,
which Ansible would escape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ...module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS, TIMESTAMPS
from ...module_utils._kernel.ports import KERNEL_RANGE, parse_range
from .._model import Namespace

Settings = Mapping[str, str]

# What a new network namespace has anyway.
_DEFAULTS = {PORT_RANGE: str(KERNEL_RANGE), RESERVED_PORTS: "", TIMESTAMPS: "1"}
# What Kubernetes lets every pod set, and from which version on (pkg/kubelet/sysctl/safe_sysctls.go).
_SAFE = {PORT_RANGE: "", RESERVED_PORTS: " (from Kubernetes 1.27 on)"}
_NAME = re.compile(r"[A-Za-z0-9][\w.@/-]{0,199}", re.ASCII)
_KEY = re.compile(r"net\.ipv4\.[a-z0-9_]{1,40}")
_VALUE = re.compile(r"[0-9 ,-]{0,4000}")


def to_last(wanted: Mapping[str, str | None]) -> dict[str, str]:
    """What a new network namespace would not have anyway."""
    return {key: value for key, value in wanted.items() if value is not None and _DEFAULTS.get(key) != value}


def owner_kind(namespace: Namespace) -> str:
    """As lasting_way() takes it."""
    if namespace["owner"]:
        return namespace["owner"]["kind"]
    return "netns" if namespace["name"] else ""


def owner_name(namespace: Namespace) -> str:
    return namespace["owner"]["name"] if namespace["owner"] else namespace["name"] or ""


def lasting_way_of(namespace: Namespace, wanted: Mapping[str, str | None]) -> str:
    """Of a network namespace that was observed, and what is wanted of its keys."""
    return lasting_way(owner_kind(namespace), owner_name(namespace), to_last(wanted))


def lasting_way(kind: str, name: str, settings: Settings) -> str:
    """How the owner of a network namespace gets these for ever; empty where there is nothing to set.

    kind: of the owner, netns for a name of ip-netns(8), empty where nobody is known.
    """
    plain = {key: one for key, one in settings.items() if _is_plain(key, one)}
    if not plain:
        return ""
    return "\n".join(_WAYS.get(kind, _anybody)(name if _NAME.fullmatch(name) else "NAME", plain))


def _is_plain(key: str, value: str) -> bool:
    if key == PORT_RANGE:
        try:
            return _VALUE.fullmatch(value) is not None and parse_range(value).size > 0
        except ValueError:
            return False
    return _KEY.fullmatch(key) is not None and _VALUE.fullmatch(value) is not None


def _podman(name: str, settings: Settings) -> list[str]:
    return [
        *_when_made("podman", name, settings),
        "For all new containers without --network host, in containers.conf (in place of a list that is there):",
        "  [containers]",
        f"  default_sysctls = [{_quoted(['net.ipv4.ping_group_range=0 0', *_assignments(settings)])}]",
        *_compose(name, settings),
    ]


def _docker(name: str, settings: Settings) -> list[str]:
    return [*_when_made("docker", name, settings), *_compose(name, settings)]


def _containerd(name: str, settings: Settings) -> list[str]:
    return _when_made("nerdctl", name, settings)


def _when_made(engine: str, name: str, settings: Settings) -> list[str]:
    options = " ".join(f"--sysctl {_shell(one)}" for one in _assignments(settings))
    return [
        "Give them to the container when it is made; they then stay over restarts:",
        f"  {engine} run --name {name.rpartition('/')[2]} {options} IMAGE",
    ]


def _compose(name: str, settings: Settings) -> list[str]:
    lines = [f"        {key}: '{value}'" for key, value in settings.items()]
    return ["In a Compose file:", "  services:", f"    {name.rpartition('/')[2]}:", "      sysctls:", *lines]


def _crio(name: str, settings: Settings) -> list[str]:
    return [
        *_pod(name, settings),
        "Or for all new pods of this node, in crio.conf:",
        "  [crio.runtime]",
        f"  default_sysctls = [{_quoted(_assignments(settings))}]",
    ]


def _pod(_name: str, settings: Settings) -> list[str]:
    unsafe = [key for key in settings if key not in _SAFE]
    safe = [f"{key}{_SAFE[key]}" for key in settings if key in _SAFE]
    lines = ["In the pod, or the template of its workload:", "  spec:", "    securityContext:", "      sysctls:"]
    for key, value in settings.items():
        lines += [f"        - name: {key}", f"          value: '{value}'"]
    if safe:
        lines.append(f"Kubernetes allows every pod {' and '.join(safe)}.")
    if unsafe:
        lines += [
            f"{', '.join(unsafe)} has to be allowed by the kubelet of the node first, in its configuration:",
            f"  allowedUnsafeSysctls: [{', '.join(unsafe)}]",
            "and by the Pod Security level of the Kubernetes namespace, which has to be privileged. A pod that asks",
            f"without leave fails with SysctlForbidden. {_without_leave(settings)}",
            "The CNI plugin tuning sets them too, for each new pod of a node, without that list (docs/recipes.md).",
        ]
    return lines


def _without_leave(settings: Settings) -> str:
    """What the range alone reaches, against the port that is free after 1 s instead of 60 s."""
    if PORT_RANGE not in settings:
        return "Without that list nothing is reached."
    gain = parse_range(settings[PORT_RANGE]).size / KERNEL_RANGE.size
    return f"Without that list the range alone is reached: x{gain:.1f} new connections per second, not x60."


def _lxc(name: str, settings: Settings) -> list[str]:
    lines = [f"  lxc.sysctl.{one.replace('=', ' = ', 1)}" for one in _assignments(settings)]
    commands = [f"  incus config set {name} linux.sysctl.{_shell(one)}" for one in _assignments(settings)]
    return [
        f"In the configuration of the container, as /var/lib/lxc/{name}/config:",
        *lines,
        "or with Incus (with LXD: lxc config set):",
        *commands,
    ]


def _machine(name: str, settings: Settings) -> list[str]:
    return [
        "A machine with a network of its own applies its own sysctl.d when it boots: remediate it as a host, or write",
        f"into /etc/sysctl.d/99-zz-ephemeral-ports.conf of the machine (below /var/lib/machines/{name}):",
        *(f"  {one.replace('=', ' = ', 1)}" for one in _assignments(settings)),
    ]


def _unit(name: str, settings: Settings) -> list[str]:
    return [
        f"In a drop-in of the unit (systemctl edit {name}); the command is in its network, with all privileges:",
        "  [Service]",
        f"  ExecStartPre=+/usr/sbin/sysctl -q -w {' '.join(_shell(one) for one in _assignments(settings))}",
    ]


def _netns(name: str, settings: Settings) -> list[str]:
    options = " ".join(_shell(one) for one in _assignments(settings))
    return [
        "ip netns keeps no settings: whatever adds it at boot has to set them after it, as in a unit:",
        f"  ExecStart=/usr/sbin/ip netns add {name}",
        f"  ExecStart=/usr/sbin/ip netns exec {name} /usr/sbin/sysctl -q -w {options}",
    ]


def _anybody(_name: str, settings: Settings) -> list[str]:
    options = " ".join(_shell(one) for one in _assignments(settings))
    return ["Nobody is known to own it: whatever makes it has to run in it, after that:", f"  sysctl -q -w {options}"]


def _assignments(settings: Settings) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _shell(assignment: str) -> str:
    """For a shell, and for a line of a unit."""
    return f"'{assignment}'" if " " in assignment else assignment


def _quoted(assignments: Sequence[str]) -> str:
    """A literal string of TOML."""
    return ", ".join(f"'{one}'" for one in assignments)


_WAYS: Mapping[str, Callable[[str, Settings], list[str]]] = {
    "podman": _podman,
    "docker": _docker,
    "containerd": _containerd,
    "cri-o": _crio,
    "pod": _pod,
    "lxc": _lxc,
    "machine": _machine,
    "unit": _unit,
    "netns": _netns,
}

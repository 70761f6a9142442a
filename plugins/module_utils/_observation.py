# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host: read what there is to read, and put together what port_usage_info returns."""

import contextlib
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import _boot_files, _boot_value, _conntrack, _findings, _kernel, _proc_net, _sock_diag, _sysctl, _usage
from ._boot_value import PROCPS, Loader, SysctlFile
from ._census import Census
from ._findings import Facts
from ._port_range import PortRange, PortSet, parse_ports
from ._usage import Only, Thresholds

# procps reads /etc/sysctl.conf besides all files that systemd reads.
_EVERY_FILE = Loader(PROCPS, (4, 0, 0))


class Look(NamedTuple):
    """What to look at, and how: the options of port_usage_info, checked."""

    method: str
    detail: str
    max_destinations: int
    only: Optional[Only]
    thresholds: Thresholds


def check_options(options: Mapping[str, Any]) -> Look:
    """Raises ValueError that names the option."""
    if options["max_destinations"] < 1:
        raise ValueError(f"max_destinations must be 1 or more, not {options['max_destinations']}")
    return Look(
        options["method"],
        options["detail"],
        options["max_destinations"],
        _usage.parse_only(options["destination"]) if options["destination"] else None,
        _usage.check_thresholds(options["warning_threshold"], options["critical_threshold"]),
    )


def observe(look: Look, proc: str = _proc_net.PROC) -> Dict[str, Any]:
    """Raises OSError or SockDiagError where the host cannot be read."""
    root = f"{proc}/sys"
    sysctls = _sysctl.read_all(_kernel.KEYS, root)
    kernel = _kernel.describe(_kernel.release(root), sysctls)
    port_range, reserved = _usage.ports_in_force(sysctls)
    sockstat = _proc_net.read_sockstat(proc)

    ports = _usage.describe_ports(port_range, reserved, None)
    method, census = "sockstat", None
    destinations: List[Dict[str, Any]] = []
    if look.detail == "full" or not _usage.proves_ok(sockstat, ports["usable"], look.thresholds):
        method, census = _take_census(look.method, port_range, reserved, proc)
        ports = _usage.describe_ports(port_range, reserved, census)
        reuse = _usage.reuse_in_force(kernel, sysctls)
        destinations = [
            _usage.describe_destination(one, census, ports["usable"], reuse, look.thresholds)
            for one in _usage.most_loaded(census, reuse, look.max_destinations, look.only)
        ]
    files = _boot_files.read_files(_EVERY_FILE)
    counters = _proc_net.read_counters(proc)
    facts = Facts(
        kernel=kernel,
        sysctls=sysctls,
        port_range=port_range,
        reserved=reserved,
        usable=ports["usable"],
        destinations=destinations,
        census=census,
        overflows=counters.get("TCPTimeWaitOverflow", 0),
        conntrack=_conntrack.read(proc),
        stale=_stale_recycle_lines(kernel, files),
    )
    return {
        "level": _usage.worst_level(destinations, ports["usable"]),
        "findings": _findings.find(facts),
        "kernel": kernel,
        "sysctls": sysctls,
        "port_range": ports,
        "reserved_in_files": str(_reserved_in(files)),
        "listening_ports": census and {"tcp": sorted(census.listening), "udp": sorted(_proc_net.udp_ports(proc))},
        "sockets": census and _usage.describe_sockets(census),
        "blocked_at_most": _usage.blocked_at_most(sockstat),
        "destinations": destinations,
        "counters": counters,
        "uptime": _proc_net.read_uptime(proc),
        "method": method,
        "complete": census.complete if census and method == "netlink" else None,
    }


def _reserved_in(files: Sequence[SysctlFile]) -> PortSet:
    """All ports that a line of a sysctl file reserves; lists that the kernel would not take are passed over."""
    relevant = [file for file in files if "ip_local_reserved_ports" in file.text]
    found = PortSet()
    for value in _boot_value.assigned_values(_EVERY_FILE, relevant, _sysctl.RESERVED_PORTS):
        with contextlib.suppress(ValueError):
            found |= parse_ports(value)
    return found


def _stale_recycle_lines(kernel: Mapping[str, Any], files: Sequence[SysctlFile]) -> List[Tuple[str, int]]:
    """File and number of lines that set tcp_tw_recycle, where no kernel of this release has it."""
    if tuple(kernel["version"]) < _kernel.RECYCLE_REMOVED:
        return []
    relevant = [file for file in files if "tcp_tw_recycle" in file.text]
    stale = _boot_value.stale_lines(_EVERY_FILE, relevant, lambda key: key != "net.ipv4.tcp_tw_recycle")
    return [(line.file, line.line) for line in stale]


def _take_census(method: str, port_range: PortRange, reserved: PortSet, proc: str) -> Tuple[str, Census]:
    if method != "procfs":
        try:
            return "netlink", _sock_diag.take_census(port_range, reserved)
        except _sock_diag.SockDiagError:
            if method == "netlink":
                raise
    return "procfs", _proc_net.take_census(port_range, reserved, proc)

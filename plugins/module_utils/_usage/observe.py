# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host: read what there is to read, and put together what port_usage_info returns."""

import contextlib
import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._boot import files as boot_files
from .._boot import precedence
from .._boot.precedence import PROCPS, Loader, SysctlFile
from .._errors import OptionError, SockDiagError, UnsupportedError
from .._kernel import conntrack, features, keys, sysctl
from .._kernel.ports import PortRange, PortSet, parse_ports
from .._sockets import inet_diag, procfs
from .._sockets.socket_table import Census
from . import findings, saturation
from .findings import Facts
from .saturation import Only, Thresholds

# procps reads /etc/sysctl.conf besides all files that systemd reads.
_EVERY_FILE = Loader(PROCPS, (4, 0, 0))

# A result has to stay small: it goes through the controller's one main process.
MAX_POOLS = 1000


class Look(NamedTuple):
    """What to look at, and how: the options of port_usage_info, checked."""

    method: str
    detail: str
    max_pools: int
    only: Optional[Only]
    thresholds: Thresholds


def check_options(options: Mapping[str, Any]) -> Look:
    """Raises OptionError."""
    if not 1 <= options["max_pools"] <= MAX_POOLS:
        raise OptionError(f"max_pools must be between 1 and {MAX_POOLS}, not {options['max_pools']}")
    return Look(
        options["method"],
        options["detail"],
        options["max_pools"],
        saturation.parse_only(options["destination"]) if options["destination"] else None,
        saturation.check_thresholds(options["warning_threshold"], options["critical_threshold"]),
    )


def observe(look: Look, proc: str = procfs.PROC) -> Dict[str, Any]:
    """Raises OSError or Error where the host cannot be read."""
    root = f"{proc}/sys"
    sysctls = sysctl.read_all(keys.NAMES, root)
    kernel = features.describe(features.release(root), sysctls)
    try:
        port_range, reserved = saturation.ports_in_force(sysctls)
    except ValueError as error:
        raise UnsupportedError(str(error)) from error
    sockstat = procfs.read_sockstat(proc)

    ports = saturation.describe_ports(port_range, reserved, None)
    method, census = "sockstat", None
    pools: List[Dict[str, Any]] = []
    if look.detail == "full" or not saturation.proves_ok(sockstat, ports["usable"], look.thresholds):
        method, census = _take_census(look.method, port_range, reserved, proc)
        ports = saturation.describe_ports(port_range, reserved, census)
        reuse = saturation.reuse_in_force(kernel, sysctls)
        pools = [
            saturation.describe_destination(one, census, ports["usable"], reuse, look.thresholds)
            for one in saturation.most_loaded(census, reuse, look.max_pools, look.only)
        ]
    files = boot_files.read_files(_EVERY_FILE)
    counters = procfs.read_counters(proc)
    facts = Facts(
        kernel=kernel,
        sysctls=sysctls,
        port_range=port_range,
        reserved=reserved,
        usable=ports["usable"],
        pools=pools,
        census=census,
        overflows=counters.get("TCPTimeWaitOverflow", 0),
        conntrack=conntrack.read(proc),
        stale=_stale_recycle_lines(kernel, files),
    )
    return {
        "kind": "usage",
        "namespace": {"inode": os.stat(f"{proc}/self/ns/net").st_ino, "name": None, "owner": None},
        "level": saturation.worst_level(pools, ports["usable"]),
        "findings": findings.find(facts),
        "kernel": kernel,
        "sysctls": sysctls,
        "port_range": ports,
        "reserved_in_files": str(_reserved_in(files)),
        "listening_ports": census and {"tcp": sorted(census.listening), "udp": sorted(procfs.udp_ports(proc))},
        "sockets": census and saturation.describe_sockets(census),
        "blocked_at_most": saturation.blocked_at_most(sockstat),
        "pools": pools,
        "counters": counters,
        "uptime": procfs.read_uptime(proc),
        "method": method,
        "complete": census.complete if census and method == "netlink" else None,
    }


def _reserved_in(files: Sequence[SysctlFile]) -> PortSet:
    """All ports that a line of a sysctl file reserves; lists that the kernel would not take are passed over."""
    relevant = [file for file in files if "ip_local_reserved_ports" in file.text]
    found = PortSet()
    for value in precedence.assigned_values(_EVERY_FILE, relevant, keys.RESERVED_PORTS):
        with contextlib.suppress(ValueError):
            found |= parse_ports(value)
    return found


def _stale_recycle_lines(kernel: Mapping[str, Any], files: Sequence[SysctlFile]) -> List[Tuple[str, int]]:
    """File and number of lines that set tcp_tw_recycle, where no kernel of this release has it."""
    if tuple(kernel["version"]) < features.RECYCLE_REMOVED:
        return []
    relevant = [file for file in files if "tcp_tw_recycle" in file.text]
    stale = precedence.stale_lines(_EVERY_FILE, relevant, lambda key: key != keys.TW_RECYCLE)
    return [(line.file, line.line) for line in stale]


def _take_census(method: str, port_range: PortRange, reserved: PortSet, proc: str) -> Tuple[str, Census]:
    if method != "procfs":
        try:
            return "netlink", inet_diag.take_census(port_range, reserved)
        except SockDiagError:
            if method == "netlink":
                raise
    return "procfs", procfs.take_census(port_range, reserved, proc)

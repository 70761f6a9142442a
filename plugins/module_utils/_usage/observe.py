# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe a host: read what there is to read, in three scopes, and put together what port_usage_info returns."""

import contextlib
import os
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from .._boot import files as boot_files
from .._boot.dialects import Entry, SysctlFile, assignments
from .._errors import SockDiagError, UnsupportedError
from .._kernel import counters, features, keys, sysctl
from .._kernel.ports import PortRange, PortSet, parse_ports, ports_in_force
from .._kernel.time_wait import reuse_in_force
from .._sockets import inet_diag, procfs
from .._sockets.socket_table import SocketTable
from . import findings, pools
from .findings import Evidence
from .options import ScanOptions

_OWN_NAMESPACE = "/proc/self/ns/net"


class Host(NamedTuple):
    """What all network namespaces of a host share."""

    release: str
    uptime: float


class Files(NamedTuple):
    """What the sysctl files of a host say. recycle_lines: file and number of lines that set tcp_tw_recycle."""

    reserved: PortSet
    recycle_lines: Sequence[Tuple[str, int]]


def observe(options: ScanOptions, proc: str = counters.PROC) -> Dict[str, Any]:
    """The usage of the network namespace of this process. Raises OSError or Error where it cannot be read."""
    return observe_namespace(options, observe_host(proc), observe_files(), proc)


def observe_host(proc: str = counters.PROC) -> Host:
    return Host(features.release(f"{proc}/sys"), counters.read_uptime(proc))


def observe_files() -> Files:
    files = boot_files.read_every_file()
    return Files(_reserved_in(files), _recycle_lines(files))


def observe_namespace(options: ScanOptions, host: Host, files: Files, proc: str = counters.PROC) -> Dict[str, Any]:
    """The usage of the network namespace of this process: its sysctls, sockets and counters.

    What the kernel can do is told here too, since each namespace shows keys of its own.
    """
    sysctls = sysctl.read_all(keys.NAMES, f"{proc}/sys")
    kernel = features.describe(host.release, sysctls)
    try:
        port_range, reserved = ports_in_force(sysctls)
    except ValueError as error:
        raise UnsupportedError(str(error)) from error
    sockstat = counters.read_sockstat(proc)

    ports = pools.describe_ports(port_range, reserved, None)
    method, table = "sockstat", None
    found: List[Dict[str, Any]] = []
    if options.detail == "full" or not pools.sockstat_proves_ok(sockstat, ports["usable"], options.thresholds):
        method, table = _read_sockets(options.method, port_range, reserved, proc)
        ports = pools.describe_ports(port_range, reserved, table)
        reuse = reuse_in_force(kernel, sysctls)
        found = [
            pools.describe_pool(pools.connect_pool(one, table, ports["usable"], reuse), options.thresholds)
            for one in pools.most_blocked(table, reuse, options.max_pools, options.only)
        ]
    counted = counters.read_counters(proc)
    evidence = Evidence(
        kernel=kernel,
        sysctls=sysctls,
        port_range=port_range,
        reserved=reserved,
        usable=ports["usable"],
        pools=found,
        sockets=table,
        overflows=counted.get("TCPTimeWaitOverflow", 0),
        conntrack=counters.read_conntrack(proc),
        recycle_lines=files.recycle_lines,
    )
    return {
        "kind": "usage",
        "namespace": {"inode": os.stat(_OWN_NAMESPACE).st_ino, "name": None, "owner": None},
        "level": pools.worst_level(found, ports["usable"]),
        "findings": findings.find(evidence),
        "kernel": kernel,
        "sysctls": sysctls,
        "port_range": ports,
        "reserved_in_files": str(files.reserved),
        "listening_ports": table and {"tcp": sorted(table.listening), "udp": sorted(procfs.udp_ports(proc))},
        "sockets": table and pools.describe_sockets(table),
        "blocked_at_most": pools.blocked_at_most(sockstat),
        "pools": found,
        "counters": counted,
        "uptime": host.uptime,
        "method": method,
        "complete": table.complete if table and method == "netlink" else None,
    }


def _reserved_in(files: Sequence[SysctlFile]) -> PortSet:
    """All ports that a line of a sysctl file reserves; lists that the kernel would not take are passed over."""
    found = PortSet()
    for line in _assignments(files, keys.RESERVED_PORTS):
        with contextlib.suppress(ValueError):
            found |= parse_ports(line.value or "")
    return found


def _recycle_lines(files: Sequence[SysctlFile]) -> List[Tuple[str, int]]:
    return [(line.file, line.line) for line in _assignments(files, keys.TW_RECYCLE)]


def _assignments(files: Sequence[SysctlFile], key: str) -> List[Entry]:
    """As assignments(), without parsing files that do not have the name."""
    name = key.rpartition(".")[2]
    return assignments([file for file in files if name in file.text], key)


def _read_sockets(method: str, port_range: PortRange, reserved: PortSet, proc: str) -> Tuple[str, SocketTable]:
    if method != "procfs":
        try:
            return "netlink", inet_diag.read_sockets(port_range, reserved)
        except SockDiagError:
            if method == "netlink":
                raise
    return "procfs", procfs.read_sockets(port_range, reserved, proc)

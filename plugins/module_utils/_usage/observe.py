# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host in three scopes, and put together what port_usage_info returns."""

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._common.errors import SockDiagError, UnsupportedError
from .._kernel import counters, features, keys, namespaces, sysctl
from .._kernel.port_flags import PortFlags
from .._kernel.ports import KERNEL_RANGE, PortRange, PortSet, client_ports, left_out, ports_in_force
from .._kernel.sockstat import read_sockstat
from .._kernel.tcp import TIME_WAIT
from .._kernel.time_wait import Reuse, reuse_in_force
from .._sockets import inet_diag, known, probe, procfs, socket_table
from .._sockets.inet_diag import Unanswered
from .._sockets.live import Key
from .._sockets.probe import Answer
from .._sockets.socket_table import SocketTable
from . import findings, live_by, others, pools, udp
from .binders import find_binders
from .claims.claim import Claim
from .claims.find import find_claims, find_redirected
from .describe import describe_pool, describe_ports, describe_sockets
from .files import NO_FILES, Files, describe_line, observe_files
from .findings import Evidence
from .nat import observe_nat
from .not_observed import Observed, not_observed
from .options import ScanOptions
from .outside import describe_outside
from .pools import SURE, Doubt, Pool
from .sockstat import blocked_at_most, proves_ok

if TYPE_CHECKING:  # a program that travels compiles only what it needs
    from .._dropin.applied import Applied, Elsewhere

_IPV6_OFF = "net.ipv6.conf.all.disable_ipv6"

# One observation asks the kernel about so many destinations at most.
_MOST_ASKED = 10
# What a network namespace has in common with the others.
_OF_HOST = ("kind", "kernel", "reserved_in_files", "port_lines", "gateway", "other_dropins", "uptime")
# Nobody has to be told whose the network namespace of the module is.
_NOT_NEEDED = dict.fromkeys(("cookie", "name", "owner", "pid", "program"))
# What a new network namespace has, and what is assumed of one whose sysctls cannot be read. That no port is reused
# makes too many blocked ports rather than too few.
_ASSUMED = {keys.PORT_RANGE: str(KERNEL_RANGE), keys.RESERVED_PORTS: "", keys.TW_REUSE: "0", keys.TIMESTAMPS: "1"}


class Host(NamedTuple):
    """What all network namespaces of a host share. search: who has which sockets."""

    release: str
    uptime: float
    search: live_by.Search


def observe(
    options: ScanOptions,
    proc: str = counters.PROC,
    applied: "Optional[Applied]" = None,
    elsewhere: "Optional[Elsewhere]" = None,
) -> Dict[str, Any]:
    """The usage of the network namespace of this process, with those of the others that are wanted.

    applied, elsewhere: what the journals say. Raises OSError or Error where its own cannot be read.
    """
    host = observe_host(proc)
    set_elsewhere = len(elsewhere.entries) if elsewhere else 0
    if options.namespaces == (namespaces.OWN,):
        own = _own(options, host, namespaces.count_others(proc), proc, applied)
        return with_others(own, [], set_elsewhere)
    every = known.know(proc)
    chosen = known.choose(every, options.namespaces)
    left = len(every) - len(chosen)

    def within(one: known.Known, cookie: Optional[int]) -> Dict[str, Any]:
        usage = observe_namespace(options, host, NO_FILES, proc)
        usage["journal"] = elsewhere.describe(one, cookie) if elsewhere else None
        if options.detail == "full":
            usage["claims"] = _described(find_redirected(proc)[0])
        return _of_namespace_alone(usage)

    def outside(path: str) -> Dict[str, Any]:
        unprivileged = options._replace(method="procfs", probe="never")
        return _of_namespace_alone(observe_namespace(unprivileged, host, NO_FILES, path, assumed=_ASSUMED))

    found = others.observe_others(chosen, within, outside, proc)
    unseen = namespaces.Others(left + found.refused, found.refused, 0)
    return with_others(_own(options, host, unseen, proc, applied), found.usages, set_elsewhere)


def _own(
    options: ScanOptions, host: Host, elsewhere: namespaces.Others, proc: str, applied: "Optional[Applied]"
) -> Dict[str, Any]:
    usage = observe_namespace(options, host, observe_files(applied), proc, elsewhere)
    usage["journal"] = applied and applied.describe()
    if options.detail == "full" and usage["listening_ports"]:
        usage["claims"] = _claims(usage["listening_ports"]["tcp"], proc)
    return usage


def _claims(listening: Sequence[int], proc: str) -> List[Dict[str, Any]]:
    return _described(find_claims(listening, proc))


def _described(claims: Sequence[Claim]) -> List[Dict[str, Any]]:
    return [{**claim._asdict(), "ports": str(claim.ports)} for claim in claims]


def with_others(own: Dict[str, Any], usages: Sequence[Dict[str, Any]], number_set: int = 0) -> Dict[str, Any]:
    """The usage of a host, from that of its own network namespace and those of others, the worst first.

    number_set: in how many others something was set.
    """
    levels = [own["level"], *(one["level"] for one in usages)]
    return {
        **own,
        "level": min(levels, key=pools.LEVELS.index),
        "own_level": own["level"],
        "namespaces": usages[: others.MOST_RETURNED] if usages else [],
        "namespaces_observed": len(usages),
        "namespaces_set": number_set,
    }


def _of_namespace_alone(usage: Dict[str, Any]) -> Dict[str, Any]:
    """Without what all namespaces share."""
    return {name: value for name, value in usage.items() if name not in _OF_HOST}


def observe_host(proc: str = counters.PROC) -> Host:
    return Host(features.release(f"{proc}/sys"), counters.read_uptime(proc), live_by.Search(proc))


def observe_namespace(
    options: ScanOptions,
    host: Host,
    files: Files,
    proc: str = counters.PROC,
    elsewhere: namespaces.Others = namespaces.NONE,
    assumed: Mapping[str, str] = MappingProxyType({}),
) -> Dict[str, Any]:
    """The usage of the network namespace of this process: its sysctls, sockets and counters.

    What the kernel can do is told here too, since each namespace shows keys of its own. assumed: sysctls that cannot be
    read from here. What is counted with them proves nothing, so that the level is never ok.
    """
    sysctls = {**sysctl.read_all(keys.NAMES, f"{proc}/sys"), **assumed}
    kernel = features.describe(host.release, sysctls)
    try:
        port_range, reserved = ports_in_force(sysctls)
    except ValueError as error:
        raise UnsupportedError(str(error)) from error
    sockstat = read_sockstat(proc)

    counted = counters.read_counters(proc)
    reuse = reuse_in_force(kernel, sysctls, counted)

    two_pass = kernel["two_pass_port_search"]["supported"]
    ports = describe_ports(port_range, reserved, None, two_pass)
    usable = ports["usable"]
    method, table = "sockstat", None
    asked, unasked, doubt, found = "not_needed", 0, pools.UNSURE if assumed else SURE, []
    proven = proves_ok(sockstat, usable, options.thresholds)
    if not proven or _is_wanted(options, sockstat):
        shift = socket_table.tick_shift(reuse.time_wait_ms)
        method, table = _read_sockets(options.method, port_range, reserved, proc, shift)
        if sysctls[keys.TW_TIMEOUT] is None and table.time_wait.cut:
            method, table = _read_sockets(options.method, port_range, reserved, proc, socket_table.WIDEST_TICK_SHIFT)
        if sysctls[keys.TW_TIMEOUT] is None and table.time_wait.exceeds(reuse.time_wait_ms):
            kernel["time_wait"] = features.time_wait_seen(table.time_wait.longest_ms())
            reuse = reuse._replace(time_wait_ms=kernel["time_wait"]["milliseconds"])
        binders = find_binders(table, port_range, reserved, two_pass, reuse.lasts_ms())
        usable = describe_ports(port_range, reserved, table, two_pass)["usable"]
        ports = describe_ports(port_range, reserved, table, two_pass, len(binders.ports))
        unseen = _unseen(sockstat, table) if method == "procfs" or not features.shows_bound(host.release) else 0
        doubt = pools.how_sure(binders, usable, unseen, left_out(port_range, two_pass))
        doubt = pools.UNSURE if assumed else doubt
        found = _pools(options, table, usable, reuse, binders.ports)
        if not options.only:
            found = pools.bind_pools(binders, table, port_range, reserved, two_pass, reuse) + found
        if options.probe == "never":
            asked = "never"
        else:
            asked, unasked, doubt, found = _ask(options, found, doubt, not proven, port_range, reuse)
        if doubt.held:
            ports.update(held=ports["size"] - ports["reserved"], usable=0)
    if not options.only and udp.may_be_near(sockstat, port_range, reserved, options.thresholds):
        of_udp = udp.udp_pool(procfs.udp_states(proc), port_range, reserved)
        answer = None
        if options.probe != "never" and of_udp.is_near(options.thresholds):
            asked, answer = "asked" if asked == "not_needed" else asked, probe.dry_udp_bind()
        found = [of_udp._replace(answer=answer), *found]
    translated = observe_nat(options, host.release, proc, is_own=not assumed)
    found = [*found, *translated.pools]
    found = pools.by_level((pools.with_doubt(pool, doubt) for pool in found), options.thresholds)
    found = found[: options.max_pools]
    named = _live_by(found, options, port_range, reserved, table, host) if table and method == "netlink" else {}
    described = [describe_pool(pool, options.thresholds, None if pool.nat else named.get(pool.key)) for pool in found]
    start, version = sysctls[keys.UNPRIVILEGED_PORT_START], features.parse_version(host.release)
    port_lines = [describe_line(key, line, start, version) for key, line in files.port_lines]
    evidence = Evidence(
        kernel=kernel,
        sysctls=sysctls,
        port_range=port_range,
        reserved=reserved,
        usable=usable,
        pools=described,
        computed=found,
        doubt=doubt,
        ipv6_off=sysctl.read(_IPV6_OFF, f"{proc}/sys") != "0",
        listening=table.listening if table else _listening_ports(options.method, proc),
        overflows=counted.get("TCPTimeWaitOverflow", 0),
        counted=counted,
        nat=translated,
        recycle_lines=files.recycle_lines,
        port_lines=port_lines,
        gateway=options.behind and options.behind.gateway,
        unanswered=() if table or assumed else _unanswered(options.method, counted),
    )
    return {
        "kind": "usage",
        "namespace": {"own": True, "inode": namespaces.own_inode(), **_NOT_NEEDED},
        "level": pools.worst_level(found, usable, doubt, options.thresholds),
        "findings": findings.find(evidence),
        "kernel": kernel,
        "sysctls": {**sysctls, **dict.fromkeys(assumed)},
        "port_range": ports,
        "reserved_in_files": str(files.reserved),
        "port_lines": port_lines,
        "claims": None,
        "journal": None,
        "gateway": None,
        "other_dropins": [],
        "listening_ports": table and _listening(table, proc),
        "sockets": table and describe_sockets(table),
        "time_wait_at_services": table and _at_services(table),
        "blocked_at_most": blocked_at_most(sockstat),
        "pools": described,
        "outside": table and options.behind and describe_outside(table, options.behind.networks, usable, reuse),
        "probe": asked,
        "counters": counted,
        "uptime": host.uptime,
        "method": method,
        "complete": table.complete if table and method == "netlink" else None,
        "not_observed": not_observed(
            Observed(table is not None, asked, unasked, elsewhere, not options.only, translated.unread), sockstat
        ),
    }


def _live_by(
    found: Sequence[Pool],
    options: ScanOptions,
    port_range: PortRange,
    reserved: PortSet,
    table: SocketTable,
    host: Host,
) -> Dict[Key, List[Dict[str, Any]]]:
    """Whose live sockets are, of pools that are not ok, and of those of a destination that is asked for by name."""
    live = [pool for pool in found if pool.live and pool.kind not in (pools.UDP, pools.SNAT)]
    wanted = [pool.key for pool in live if options.only or pool.level(options.thresholds) != pools.OK]
    clients = client_ports(port_range, reserved) - PortSet.of(table.listening | table.bound)
    return live_by.find(wanted[:_MOST_ASKED], clients, host.search)


def _is_wanted(options: ScanOptions, sockstat: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether sockets are to be read although the counters prove that all is well: what is far from the limits of this
    host may be near those of the NAT gateway that it shares with others.
    """
    if options.detail == "full" or options.only:
        return True
    return options.behind is not None and blocked_at_most(sockstat) > options.behind.enough


def _listening(table: SocketTable, proc: str) -> Dict[str, List[int]]:
    services, clients = procfs.udp_ports(proc)
    return {"tcp": sorted(table.listening), "udp": sorted(services), "udp_clients": sorted(clients)}


def _pools(options: ScanOptions, table: SocketTable, usable: int, reuse: Reuse, held: PortFlags) -> List[Pool]:
    """Those with the most blocked ports; for a named destination without sockets too."""
    found = [
        pools.connect_pool(one, table, usable, reuse, held)
        for one in pools.most_blocked(table, reuse, options.max_pools, options.only)
    ]
    if not found and options.only and options.only.port is not None:
        found.append(pools.unused_pool(options.only, usable, reuse, len(held)))
    return found


def _ask(
    options: ScanOptions, found: List[Pool], doubt: Doubt, suspected: bool, port_range: PortRange, reuse: Reuse
) -> Tuple[str, int, Doubt, List[Pool]]:
    """Whether the kernel was asked, about how many of the pools that it would have been it was not, and what it adds.

    suspected: the counters do not prove that all is well, so that the first pool at least is asked about.
    """
    to_connect = [pool for pool in found if pool.kind == pools.CONNECT]
    wanted = [pool for pool in to_connect if options.only or doubt.more or pool.is_near(options.thresholds)]
    wanted = wanted or to_connect[:1] * suspected
    asked, answers = _dry_connects(wanted)
    unasked = len(wanted) - len(answers)
    near = [pool for pool in found if pool.kind == pools.BIND and (doubt.more or pool.is_near(options.thresholds))]
    if near:
        answers.update((pool.key, probe.dry_bind(pool.source)) for pool in near[:_MOST_ASKED])
        asked = "asked" if asked == "not_needed" else asked
    found = [pools.with_answer(pool, answers.get(pool.key), port_range, reuse) for pool in found]
    if doubt.more or (suspected and not found):
        doubt = doubt._replace(held=probe.binders_hold_all())
    return asked, unasked, doubt, found


def _dry_connects(wanted: Sequence[Pool]) -> Tuple[str, Dict[Key, Answer]]:
    if not wanted:
        return "not_needed", {}
    try:
        said = probe.dry_connects([pool.question for pool in pools.least_certain(wanted)][:_MOST_ASKED])
    except probe.NotAllowedError:
        return "not_allowed", {}
    return "asked" if said else "not_supported", dict(said.items())


def _unseen(sockstat: Mapping[str, Mapping[str, int]], table: SocketTable) -> int:
    """Sockets that exist but were not shown: bound ones, on kernels that do not show these. It may be too many."""
    shown = sum(number for state, number in table.states.items() if state != TIME_WAIT)
    return max(0, sockstat.get("TCP", {}).get("alloc", 0) - shown)


def _at_services(table: SocketTable) -> int:
    """Sockets in TIME_WAIT that block no port: those on ports that connect() does not choose."""
    return table.states[TIME_WAIT] - sum(map(table.time_wait.count, table.time_wait))


def _unanswered(method: str, counted: Mapping[str, int]) -> Sequence[Unanswered]:
    if method != "procfs" and findings.may_be_unanswered(counted):
        with contextlib.suppress(SockDiagError):
            return inet_diag.read_unanswered()
    return ()


def _listening_ports(method: str, proc: str) -> Set[int]:
    if method != "procfs":
        with contextlib.suppress(SockDiagError):
            return inet_diag.read_listening_ports()
    return procfs.read_listening_ports(proc)


def _read_sockets(
    method: str, port_range: PortRange, reserved: PortSet, proc: str, shift: int
) -> Tuple[str, SocketTable]:
    if method != "procfs":
        try:
            return "netlink", inet_diag.read_sockets(port_range, reserved, shift)
        except SockDiagError:
            if method == "netlink":
                raise
    return "procfs", procfs.read_sockets(port_range, reserved, proc, shift)

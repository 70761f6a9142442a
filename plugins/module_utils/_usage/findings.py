# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong or worth knowing, with evidence and remedy. Pure: no I/O, no clock.

docs/findings.md describes each identifier; a function here yields those of one subject.
"""

from types import MappingProxyType
from typing import Any, Callable, Collection, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._common.text import format_destination, format_endpoint, format_forecast_time, format_percent
from .._kernel import keys
from .._kernel.features import RECYCLE_REMOVED
from .._kernel.ports import PortRange, PortSet, left_out, parse_ports, range_ports
from .._sockets import probe
from .._sockets.inet_diag import Unanswered
from .finding import CRITICAL, INFO, SEVERITIES, WARNING, Finding, make_finding
from .nat import Nat
from .nat_findings import find_of_nat
from .pools import BIND, CONNECT, SURE, UDP, Doubt, Pool
from .slow_half import slow_half
from .stuck import LIVE_SHARE, SHARE, most_stuck, worth_a_word

# Where an exhausted destination blocks less of the usable ports than this share, others hold the rest.
_MOST_SHARE = 0.9
# Ports chosen by bind() are worth a word from this number on, if they are this share of the usable ports, or nearly
# all.
_BOUND_PORTS = 100
_BOUND_SHARE = 0.1
_NEARLY_ALL = 0.45  # of the sockets: half of the ports that bind() chooses may not be told from those of connect()
# What bind() chose of the usable ports, for it to be the only cause that none is reused.
_NEARLY_EVERY_PORT = 0.98
# So many connections whose SYN was sent again, and this share of all, are more than losses of a network.
_SYNS_AGAIN = 100
_SYNS_AGAIN_SHARE = 0.02
# So many that hang towards one destination at this moment are more than a lost packet.
_RESENT = 3
# So many that wait for an answer now, and have sent their SYN again.
_SYNS_AGAIN_NOW = 5
_MOST_UNANSWERED = 5
_CONNTRACK_SHARE = 0.8
# The default of tcp_fin_timeout, which has nothing to do with TIME_WAIT.
_FIN_TIMEOUT = 60
# Defaults of tcp_max_tw_buckets are powers of two, by memory: 256 where there are 96 MiB; large hosts start from this.
_LARGE_TW_BUCKETS = 131072
_SMALL_TW_BUCKETS = 256

_IN_THE_CLIENT = "let the client keep its connections (HTTP keep-alive, a pool), or use more destination addresses"

_USE_FEWER = "let the client use fewer connections, or more destination addresses"

_DO_NOT_BIND = (
    "let clients set IP_BIND_ADDRESS_NO_PORT before bind(), or not bind() at all. A wider range helps for a while "
    "(about twofold), tcp_tw_reuse does not."
)


class Evidence(NamedTuple):
    """All that findings are drawn from; kernel, sysctls, pools and port_lines as port_usage_info returns them.

    listening: local ports of listeners. overflows: TCPTimeWaitOverflow. recycle_lines: file and number of lines that
    set tcp_tw_recycle. computed: the same pools, before they were described. counted: by the kernel
    since boot. gateway: the NAT gateway that the host is behind, as the inventory says.
    unanswered: destinations that SYNs were sent to without an answer, the most of them first, where pools do not tell.
    """

    kernel: Mapping[str, Any]
    sysctls: Mapping[str, Optional[str]]
    port_range: PortRange
    reserved: PortSet
    usable: int
    pools: Sequence[Mapping[str, Any]]
    listening: Collection[int]
    overflows: int
    nat: Nat
    recycle_lines: Sequence[Tuple[str, int]]
    computed: Sequence[Pool] = ()
    doubt: Doubt = SURE
    ipv6_off: bool = False
    counted: Mapping[str, int] = MappingProxyType({})
    port_lines: Sequence[Mapping[str, Any]] = ()
    gateway: Optional[str] = None
    unanswered: Sequence[Unanswered] = ()

    @property
    def two_pass(self) -> bool:
        return bool(self.kernel["two_pass_port_search"]["supported"])

    @property
    def destinations(self) -> List[Mapping[str, Any]]:
        """The pools of connect()."""
        return [one for one in self.pools if one["kind"] == CONNECT]

    def value(self, key: str) -> Optional[str]:
        return self.sysctls[key]

    def number(self, key: str) -> Optional[int]:
        value = self.sysctls[key]
        return None if value is None else int(value)


def find(given: Evidence) -> List[Finding]:
    """All findings, the most severe first."""
    found = [finding for rule in _RULES for finding in rule(given)]
    return sorted(found, key=lambda one: SEVERITIES.index(one["severity"]))


def _usable(given: Evidence) -> Iterator[Finding]:
    if not given.usable:
        summary = f"Every port of {given.port_range} is reserved or held: no outgoing connection gets one (errno 99)."
        if given.doubt.held is False:
            summary = (
                f"All ports of {given.port_range} but one are reserved or held, and as its size is odd a search can "
                "pass over that one: connect() then fails with errno 99."
            )
        yield make_finding(
            "no-usable-port",
            CRITICAL,
            summary,
            "Widen ip_local_port_range, or free ports that ip_local_reserved_ports names.",
            ip_local_port_range=str(given.port_range),
            reserved=len(given.reserved & range_ports(given.port_range)),
        )


def _destinations(given: Evidence) -> Iterator[Finding]:
    for one in given.destinations:
        level, seconds = one["level"], one["forecast"]["seconds_to_critical"]
        evidence = {name: one[name] for name in ("blocked", "time_wait", "live", "saturation", "rate", "forecast")}
        name = format_destination(one)
        if _search_us(one) is not None:
            evidence["search_us"] = _search_us(one)
        if level == "exhausted":
            summary = f"No local port is left towards {name}: connect() fails with errno 99 (EADDRNOTAVAIL)."
            yield make_finding("destination-exhausted", CRITICAL, summary, _remedy(given, one), name, **evidence)
        elif level == "critical":
            summary = f"{_blocked(one)}{slow_half(one, given.port_range, given.two_pass)}"
            yield make_finding("destination-critical", CRITICAL, summary, _remedy(given, one), name, **evidence)
        elif level == "warning":
            yield make_finding("destination-warning", WARNING, _blocked(one), _remedy(given, one), name, **evidence)
        elif seconds is not None:
            time = format_forecast_time(seconds, one["forecast"]["critical_between"])
            summary = f"{_at_the_rate(one['forecast'])} {name} will be critical in {time}."
            yield make_finding("destination-forecast", WARNING, summary, _remedy(given, one), name, **evidence)


def _at_the_rate(forecast: Mapping[str, Any]) -> str:
    if forecast["slope"] > 0:
        return f"With {forecast['rate']:g} connections per second, and {forecast['slope']:g} more each second,"
    return f"At the current rate of {forecast['rate']:g} connections per second,"


def _blocked(one: Mapping[str, Any]) -> str:
    return f"{format_percent(one['saturation'])} of the local ports towards {format_destination(one)} are blocked."


def _search_us(one: Mapping[str, Any]) -> Optional[float]:
    """How long connect() searched for a port, if the kernel was asked."""
    return one["probe"]["search_us"] if one["probe"] else None


def _remedy(given: Evidence, one: Mapping[str, Any]) -> str:
    if one["level"] == "exhausted" and one["blocked"] < given.usable * _MOST_SHARE:
        return f"Other clients hold the ports that are left: {_DO_NOT_BIND}"
    stuck = most_stuck(one)
    if stuck.number(one) >= one["blocked"] * LIVE_SHARE:
        return f"{stuck.number(one)} of these connections {stuck.what}. {stuck.remedy}."
    if one["live"] >= one["blocked"] * LIVE_SHARE:
        return f"Most of these connections have not ended, so no sysctl but a wider range helps: {_USE_FEWER}."
    if _bind_has_all(given):
        return _DO_NOT_BIND[0].upper() + _DO_NOT_BIND[1:]
    if _is_reused(one):
        return f"Ports are reused early already, so no sysctl but a wider range helps: {_IN_THE_CLIENT}."
    if _nothing_is_reused(given, one):
        return f"None of these ports is reused although tcp_tw_reuse is on (reuse-fails). Besides, {_IN_THE_CLIENT}."
    if given.value(keys.TW_REUSE) is None:
        return f"Set tcp_tw_reuse on the host, this container cannot; or {_IN_THE_CLIENT}."
    delay = f"{given.kernel['reuse_delay']['milliseconds'] / 1000:g} s"
    by = "tcp_timestamps" if given.value(keys.TW_REUSE) == "1" else "tcp_tw_reuse"
    freed = f"frees ports after {delay} ({by}) if the peer has TCP timestamps"
    return f"The role timewait_remediate {freed}; better still, {_IN_THE_CLIENT}."


def _bind_has_all(given: Evidence) -> bool:
    """Whether bind() has chosen next to all ports, of which none is reused."""
    return bool(given.doubt.held) or given.doubt.bound >= given.usable * _NEARLY_EVERY_PORT > 0


def _nothing_is_reused(given: Evidence, one: Mapping[str, Any]) -> bool:
    return any(pool.reuse_fails and other is one for pool, other in zip(given.computed, given.pools))


def _is_reused(one: Mapping[str, Any]) -> bool:
    return bool(one["hold_seconds"] < one["time_wait_seconds"])


def _reuse(given: Evidence) -> Iterator[Finding]:
    value = given.number(keys.TW_REUSE)
    if not value:
        return
    if given.value(keys.TIMESTAMPS) == "0":
        yield make_finding(
            "reuse-without-timestamps",
            WARNING,
            "tcp_tw_reuse does nothing, because tcp_timestamps is 0.",
            "Set tcp_timestamps to 1; ports of connections opened from then on can be reused.",
            tcp_tw_reuse=value,
            tcp_timestamps=0,
        )
    elif value == 2 and 2 not in given.kernel["tcp_tw_reuse"]["modes"]:
        yield make_finding(
            "reuse-two-means-one",
            INFO,
            "tcp_tw_reuse is 2, which this kernel takes for 1: it is on for all destinations.",
            "Set it to 1 to say so; loopback only (2) came with Linux 4.18.",
            tcp_tw_reuse=value,
            kernel=given.kernel["release"],
        )
    elif value == 2 and not _bind_has_all(given):
        missed = [
            one
            for one in given.destinations
            if not _is_reused(one) and _in_trouble(one) and one["time_wait"] > one["live"]
        ]
        if missed:
            worst = format_destination(missed[0])
            yield make_finding(
                "reuse-loopback-only",
                WARNING,
                f"tcp_tw_reuse is 2, which covers 127.0.0.0/8 and ::1 only, not {worst}.",
                "Set it to 1; the role timewait_remediate does.",
                worst,
                tcp_tw_reuse=value,
                destinations=len(missed),
            )


def _in_trouble(one: Mapping[str, Any]) -> bool:
    return one["level"] != "ok" or one["forecast"]["seconds_to_critical"] is not None


def _reuse_fails(given: Evidence) -> Iterator[Finding]:
    if not given.usable or _bind_has_all(given):
        return  # whatever the peers have: bind-before-connect names the cause
    for pool, one in zip(given.computed, given.pools):
        if pool.reuse_fails:
            yield make_finding(
                "reuse-fails",
                CRITICAL if one["level"] in ("exhausted", "critical") else WARNING,
                f"tcp_tw_reuse is on, and yet {one['time_wait']} ports towards {format_destination(one)} stay in "
                "TIME_WAIT: none of them is reused.",
                "Switch TCP timestamps on at the peer (tcp_timestamps): only ports of connections that had them are "
                f"reused. If the peer has them, {_DO_NOT_BIND}",
                format_destination(one),
                time_wait=one["time_wait"],
                usable=one["usable"],
                tcp_tw_reuse=given.number(keys.TW_REUSE),
            )


def _not_for_want_of_a_port(given: Evidence) -> Iterator[Finding]:
    for one in given.destinations:
        said = one["probe"] or {"lacks": None}
        name = format_destination(one)
        if said["lacks"] == probe.ADDRESS:
            is_off = ":" in one["address"] and given.ipv6_off
            why = "IPv6 is switched off" if is_off else "this host has no address to connect from"
            yield make_finding(
                "no-source-address",
                WARNING,
                f"connect() to {name} fails with errno {said['errno']}, but not for want of a port: {why}.",
                "Let the client use an IPv4 address, or switch IPv6 on."
                if is_off
                else "Give this host such an address.",
                name,
                errno=said["errno"],
            )
        elif said["lacks"] == probe.ROUTE:
            yield make_finding(
                "no-route",
                WARNING,
                f"connect() to {name} fails with errno {said['errno']}, but not for want of a port: there is no route.",
                "Add a route, or let the client use another address.",
                name,
                errno=said["errno"],
            )


def _bind_before_connect(given: Evidence) -> Iterator[Finding]:
    doubt = given.doubt
    many = doubt.bound >= _BOUND_PORTS and (
        doubt.bound >= given.usable * _BOUND_SHARE or doubt.bound >= doubt.sockets * _NEARLY_ALL
    )
    worst = next((one for one in given.pools if one["kind"] == BIND), None)
    short = worst is not None and worst["level"] in ("exhausted", "critical")
    if doubt.held and doubt.sockets:
        summary = "Every local port is held by a client that called bind() before connect(): nobody else gets one."
    elif worst and worst["level"] == "exhausted":
        summary = (
            f"bind() to {worst['source']} finds no local port (errno 98, EADDRINUSE): clients call it before they "
            "connect(), and a local port then serves one destination only."
        )
    elif many or short:
        summary = (
            "Clients bind() before they connect(): a local port then serves one destination only, not all of them."
        )
    else:
        return
    yield make_finding(
        "bind-before-connect",
        CRITICAL if doubt.held or short else WARNING,
        summary,
        _DO_NOT_BIND[0].upper() + _DO_NOT_BIND[1:],
        sockets=doubt.sockets,
        ports_chosen_by_bind=doubt.bound,
        usable=given.usable,
        sources={one["source"]: one["blocked"] for one in given.pools if one["kind"] == BIND},
    )


def _udp(given: Evidence) -> Iterator[Finding]:
    for one in given.pools:
        if one["kind"] != UDP or one["level"] == "ok":
            continue
        summary = f"UDP sockets have {format_percent(one['saturation'])} of the local ports."
        if one["level"] == "exhausted":
            summary = "No local UDP port is left: sendto() and connect() fail with errno 11 (EAGAIN), bind() with 98."
        yield make_finding(
            "udp-ports",
            WARNING if one["level"] == "warning" else CRITICAL,
            summary,
            "Let programs close UDP sockets, or use one for all destinations; a wider range helps too."
            if one["usable"]
            else "Widen ip_local_port_range, or free ports that ip_local_reserved_ports names.",
            sockets=one["live"],
            blocked=one["blocked"],
            usable=one["usable"],
        )


def _stuck(given: Evidence) -> Iterator[Finding]:
    for one in given.destinations:
        for stuck, number in worth_a_word(one, given.usable, _in_trouble(one)):
            yield make_finding(
                stuck.id,
                WARNING,
                f"{number} connections to {format_destination(one)} {stuck.what}.",
                f"{stuck.remedy}.",
                format_destination(one),
                number=number,
                usable=given.usable,
            )


def _unanswered(given: Evidence) -> Iterator[Finding]:
    """Connects that hang: it is not for want of a local port, for those have one."""
    for one in given.destinations:
        number, waiting, name = one["syn_resent"], one["states"].get("SYN_SENT", 0), format_destination(one)
        if number < _RESENT or waiting >= given.usable * SHARE:  # or it is told as syn-sent-unanswered
            continue
        who = f"the NAT gateway {given.gateway}" if given.gateway else "a NAT gateway"
        yield make_finding(
            "syn-resent",
            WARNING,
            f"{number} connections to {name} hang: they have sent their SYN again, and nobody answers. No local port "
            f"is missing: {one['blocked']} of {one['usable']} are blocked.",
            f"Find out who drops the SYNs: {who} without a free port (the report adds up its hosts, see "
            "ephemeral_ports_nat), a full connection tracking table, a firewall, or the peer.",
            name,
            number=number,
            blocked=one["blocked"],
            usable=one["usable"],
            gateway=given.gateway,
        )


def may_be_unanswered(counted: Mapping[str, int]) -> bool:
    """Whether so many SYNs were sent again that those that wait for an answer now are worth reading."""
    opened, again = _sent_again(counted)
    return again >= max(_SYNS_AGAIN_NOW, opened * _SYNS_AGAIN_SHARE)


def _sent_again(counted: Mapping[str, int]) -> Tuple[int, int]:
    """Connections opened, and of how many of them the SYN was sent again at most.

    Answers to SYNs are counted as sent again too, but no timeout is.
    """
    opened = counted.get("ActiveOpens", 0)
    return opened, min(counted.get("TCPSynRetrans", 0), counted.get("TCPTimeouts", 0), opened)


def _syns_sent_again(given: Evidence) -> Iterator[Finding]:
    opened, again = _sent_again(given.counted)
    worst = max(given.unanswered, key=lambda one: one.again, default=None)
    now = sum(one.again for one in given.unanswered)
    if now < _SYNS_AGAIN_NOW and again < max(_SYNS_AGAIN, opened * _SYNS_AGAIN_SHARE):
        return
    waiting = sum(one.number for one in given.unanswered)
    waiting = waiting or sum(one["states"].get("SYN_SENT", 0) for one in given.destinations)
    summary = (
        f"Up to {again} of {opened} connections opened since boot had to send their SYN again "
        f"({format_percent(again / max(1, opened))})"
    )
    summary += f", and {waiting} wait for an answer now." if waiting else "."
    name = None
    if worst and worst.again:
        name = format_endpoint(worst.address, worst.port)
        summary += f" {worst.again} of them have sent it to {name} more than once."
        if not any(one["level"] in ("exhausted", "critical") for one in given.destinations):
            summary += " No local port is missing."
    yield make_finding(
        "syn-retransmissions",
        WARNING if waiting else INFO,
        summary,
        "Where the number still grows, find out who drops them: NAT without a free port (observe the host or gateway "
        "that translates), a full connection tracking table or a firewall is usual. Such a connect takes 1, 3 or 7 "
        "seconds, or times out; it never fails with errno 99.",
        name,
        opened=opened,
        sent_again=again,
        waiting=waiting,
        unanswered=[one._asdict() for one in given.unanswered[:_MOST_UNANSWERED]],
    )


def _buckets(given: Evidence) -> Iterator[Finding]:
    buckets = given.number(keys.MAX_TW_BUCKETS)
    if given.overflows:
        yield make_finding(
            "time-wait-overflow",
            INFO,
            f"{given.overflows} connections since boot skipped TIME_WAIT, because tcp_max_tw_buckets was reached.",
            "Raise tcp_max_tw_buckets: without TIME_WAIT, late packets reach the wrong connection or reset the peer's.",
            tcp_time_wait_overflow=given.overflows,
            tcp_max_tw_buckets=buckets,
        )
    if buckets is not None and (buckets < _SMALL_TW_BUCKETS or _is_odd_choice(buckets)):
        yield make_finding(
            "tw-buckets-lowered",
            WARNING,
            f"tcp_max_tw_buckets is {buckets}, which is not a kernel default.",
            "Remove the line that sets it: what is closed beyond that number skips TIME_WAIT, and can lose data.",
            tcp_max_tw_buckets=buckets,
        )


def _is_odd_choice(buckets: int) -> bool:
    return buckets < _LARGE_TW_BUCKETS and bool(buckets & (buckets - 1))


def _range_size(given: Evidence) -> Iterator[Finding]:
    if left_out(given.port_range, given.two_pass):
        yield make_finding(
            "odd-range",
            INFO,
            f"The port range {given.port_range} has an odd size, so one port of it is left out.",
            "Let it begin or end one port earlier or later.",
            ip_local_port_range=str(given.port_range),
            size=given.port_range.size,
        )


def _unreserved_listeners(given: Evidence) -> Iterator[Finding]:
    exposed = (PortSet.of(given.listening) & range_ports(given.port_range)) - given.reserved
    if exposed:
        yield make_finding(
            "listener-in-range",
            WARNING,
            f"Services listen on {exposed}, where outgoing connections may take the port while a service restarts.",
            "Reserve these ports (ip_local_reserved_ports); the role timewait_remediate does.",
            ports=str(exposed),
        )


def _refused_reservations(given: Evidence) -> Iterator[Finding]:
    for line in given.port_lines:
        if line["refused"] and line["key"] == keys.RESERVED_PORTS and parse_ports(line["means"]) - given.reserved:
            yield make_finding(
                "reservation-refused",
                WARNING,
                f"The kernel refuses the line {line['file']}:{line['line']}, meant to reserve {line['means']}.",
                "Write numbers, dashes and commas only. timewait_remediate reserves these ports in any case.",
                file=line["file"],
                line=line["line"],
                ports=line["means"],
            )


def _recycle(given: Evidence) -> Iterator[Finding]:
    value = given.number(keys.TW_RECYCLE)
    if value:
        yield make_finding(
            "recycle-on",
            CRITICAL,
            f"tcp_tw_recycle is {value}: this host silently drops connections of clients behind NAT.",
            "Set it to 0 and tcp_tw_reuse to 1 instead.",
            tcp_tw_recycle=value,
        )
    if tuple(given.kernel["version"]) < RECYCLE_REMOVED:
        return
    for file, line in given.recycle_lines:
        yield make_finding(
            "recycle-line-stale",
            INFO,
            f"{file}:{line} sets tcp_tw_recycle, which this kernel does not have.",
            "Remove the line; on an older kernel it would break clients behind NAT.",
            file=file,
            line=line,
        )


def _conntrack(given: Evidence) -> Iterator[Finding]:
    table = given.nat.conntrack
    if table is None:
        return
    # What NAT finds no port for is counted in both.
    dropped = max(0, table.drop - table.insert_failed)
    if table.limit and table.entries >= table.limit * _CONNTRACK_SHARE:  # 0 is no limit
        yield make_finding(
            "conntrack-near-limit",
            WARNING,
            f"The connection tracking table holds {table.entries} of at most {table.limit} entries"
            + (f", and {dropped} packets were dropped since boot." if dropped else "."),
            "Raise net.netfilter.nf_conntrack_max, or do not track these connections. This is not a port shortage.",
            **table._asdict(),
        )
    elif dropped:
        yield make_finding(
            "conntrack-drops",
            INFO,
            f"Since boot, connection tracking dropped {dropped} packets, as it does where its table is full.",
            "If the number grows, raise net.netfilter.nf_conntrack_max. Such connects hang, they never fail with errno "
            "99: this is not a port shortage.",
            **table._asdict(),
        )


def _translations(given: Evidence) -> Iterator[Finding]:
    yield from find_of_nat(given.nat, given.pools)


def _fin_timeout(given: Evidence) -> Iterator[Finding]:
    seconds = given.number(keys.FIN_TIMEOUT)
    if seconds is not None and seconds < _FIN_TIMEOUT:
        yield make_finding(
            "fin-timeout-lowered",
            INFO,
            f"tcp_fin_timeout is {seconds} s; that does not shorten TIME_WAIT, which lasts "
            f"{given.kernel['time_wait']['milliseconds'] / 1000:g} s.",
            "Keep it for peers that are slow to close, or go back to 60.",
            tcp_fin_timeout=seconds,
        )


_RULES: Tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _usable,
    _destinations,
    _reuse,
    _reuse_fails,
    _not_for_want_of_a_port,
    _bind_before_connect,
    _udp,
    _stuck,
    _unanswered,
    _syns_sent_again,
    _buckets,
    _range_size,
    _unreserved_listeners,
    _refused_reservations,
    _recycle,
    _conntrack,
    _translations,
    _fin_timeout,
)

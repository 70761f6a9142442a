# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about source NAT on the host that translates. Pure."""

from typing import Any, Iterator, List, Mapping, Optional, Sequence

from .._common.text import format_destination, format_forecast_time, format_percent
from .._kernel.counters import Conntrack
from .._nat.choice import PLAIN_SIZE
from .finding import CRITICAL, INFO, WARNING, Finding, make_finding
from .nat import Nat, Timeouts
from .pools import SNAT

# Connections in one state are the cause from this share of the used ports on.
_MOST = 0.5
# How likely a search fails where that is worth a word, and from where on it is said in percent.
_TOLD, _IN_PERCENT = 1e-6, 0.01
# For how long a client of Linux keeps a port in TIME_WAIT; longer than that nobody comes back to it.
_CLIENT_TIME_WAIT = 60
# RFC 5382: an idle connection is to be remembered for 2 hours and 4 minutes at least.
_LEAST_IDLE = 7440

_KEEP = "let the clients behind this host keep their connections (HTTP keep-alive, a pool)"
_FULLY_RANDOM = (
    "--random-fully (nft: fully-random) makes them rare; with it clients no longer keep their own port, and there is "
    "no port more"
)


def find_of_nat(nat: Nat, pools: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """pools: as port_usage_info returns them, those of other kinds too, the worst first."""
    translated = [one for one in pools if one["kind"] == SNAT]
    for one in translated:
        yield from _of_pool(one, nat)
    if nat.conntrack and nat.conntrack.insert_failed:
        yield _failures(nat, nat.conntrack, [one for one in translated if one["level"] != "ok"])


def _of_pool(one: Mapping[str, Any], nat: Nat) -> Iterator[Finding]:
    level, seconds = one["level"], one["forecast"]["seconds_to_critical"]
    name = format_destination(one)
    names = ("source", "blocked", "usable", "time_wait", "live", "states", "saturation", "rate", "forecast", "nat")
    evidence = {each: one[each] for each in names}
    summary = f"NAT has given {one['blocked']} of {one['usable']} ports towards {name}"
    if level == "exhausted":
        what = f"{summary}: none is left, and SYNs are dropped. Connects hang, they never fail with errno 99."
        yield make_finding("snat-exhausted", CRITICAL, what, remedy(one, nat), name, **evidence)
    elif level in ("critical", "warning"):
        what = f"{summary} ({format_percent(one['saturation'])}){_search(one)}."
        if level == "critical":
            yield make_finding("snat-critical", CRITICAL, what, remedy(one, nat), name, **evidence)
        else:
            yield make_finding("snat-warning", WARNING, what, remedy(one, nat), name, **evidence)
    elif seconds is not None:
        time = format_forecast_time(seconds, one["forecast"]["critical_between"])
        what = f"At {one['forecast']['rate']:g} connections per second the ports of NAT towards {name} are critical"
        yield make_finding("snat-forecast", WARNING, f"{what} in {time}.", remedy(one, nat), name, **evidence)


def _search(one: Mapping[str, Any]) -> str:
    """The kernel gives up before it has tried all ports."""
    fails = one["nat"]["search_fails"]
    if fails < _TOLD:
        return ""
    share = format_percent(fails) if fails >= _IN_PERCENT else f"1 of {1 / fails:.0f}"
    return f", and {share} of the searches for another one fail already"


def remedy(one: Mapping[str, Any], nat: Nat) -> str:
    """What frees ports of this pool first, then what gives more of them."""
    frees = _what_frees(one, nat.timeouts)
    more = "translate to more addresses (snat to FIRST-LAST): each has its own ports for a destination"
    if one["usable"] < PLAIN_SIZE and one["nat"]["by_rule"]:
        more = f"widen the range of the rule ({one['nat']['ports']}), or {more}"
    return f"{frees[0].upper()}{frees[1:]}; {more}."


def _what_frees(one: Mapping[str, Any], timeouts: Optional[Timeouts]) -> str:
    used, states = one["blocked"], one["states"]
    if one["nat"]["protocol"] == "udp":
        return "let the clients send from one socket for all that they ask, as a local resolver does for DNS"
    if timeouts and one["nat"]["idle"] >= used * _MOST:
        return _idle(one["nat"]["idle"], timeouts)
    if states.get("SYN_SENT", 0) >= used * _MOST:
        return (
            f"find out why {states['SYN_SENT']} SYNs are not answered: as long as they are not, each holds a port "
            "(nf_conntrack_tcp_timeout_syn_sent)"
        )
    if one["time_wait"] >= used * _MOST and timeouts and timeouts.time_wait > _CLIENT_TIME_WAIT:
        return (
            f"{_KEEP}. {one['time_wait']} of these are closed and hold their port for {timeouts.time_wait} s: where "
            f"all clients are Linux, nf_conntrack_tcp_timeout_time_wait may be {_CLIENT_TIME_WAIT}, as long as their "
            "own TIME_WAIT, and no shorter"
        )
    if states.get("ESTABLISHED", 0) >= used * _MOST:
        return f"{states['ESTABLISHED']} of these are open: let the clients use fewer connections at a time"
    return _KEEP


def _idle(number: int, timeouts: Timeouts) -> str:
    text = f"{number} of these are open and were idle for hours"
    if timeouts.established > _LEAST_IDLE:
        text += (
            f", as nf_conntrack_tcp_timeout_established is {timeouts.established} s: {_LEAST_IDLE} is enough "
            "(RFC 5382), if clients that stay idle for longer use keep-alive of TCP"
        )
    return text


def _failures(nat: Nat, table: Conntrack, near: List[Mapping[str, Any]]) -> Finding:
    summary = f"Since boot, connection tracking could not insert {table.insert_failed} connections: "
    if near:
        worst = near[0]
        name = format_destination(worst)
        summary += f"ports of NAT are short towards {', '.join(map(format_destination, near[:3]))}."
        return make_finding(
            "nat-failures",
            WARNING if worst["level"] == "warning" else CRITICAL,
            summary,
            f"Such connects hang, they never fail with errno 99. {remedy(worst, nat)}",
            name,
            **table._asdict(),
        )
    if nat.unread:
        summary += "no free port for NAT, or two packets clashed. Only root can read which destination it was."
        text = "Observe as root with CAP_NET_ADMIN (become: true). Such connects hang, they never fail with errno 99."
    else:
        summary += "no free port or address for NAT, or two packets clashed. No destination is short of ports now."
        text = "Such connects hang, they never fail with errno 99. If the number grows, "
        if nat.fully_random:
            text += "observe again while it does: clashes are rare already (fully-random)."
        elif nat.fully_random is None:
            text += "give NAT more addresses."
        else:
            text += f"these are clashes: {_FULLY_RANDOM}."
    return make_finding("nat-failures", INFO, summary, text, **table._asdict())

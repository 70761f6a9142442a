# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision: what to set on a host, from its configuration and the user's policy. Pure: no I/O, no clock.

Nothing here depends on how loaded the host is, so that a second run after a first finds everything in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from ..module_utils._dropin.journal import DROPIN
from ..module_utils._dropin.ownership import without_ours
from ..module_utils._kernel import features, keys, sysctl
from ..module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS, TIMESTAMPS, TW_RECYCLE, TW_REUSE
from ..module_utils._kernel.ports import (
    FIRST_UNPRIVILEGED,
    KERNEL_RANGE,
    MAX_PORT,
    PortRange,
    PortSet,
    left_out,
    parse_ports,
    parse_range,
    ports_in_force,
    range_ports,
    union,
    usable_ports,
)
from ..module_utils._kernel.time_wait import reuse_in_force
from ._border import clean
from ._model import AppliedKey, ApplyResult, Claim, Plan, PortLine, Setting, SustainableRate, Usage

Action = Literal["set", "keep", "release", "refuse", "unsupported"]

AUTO, LEAVE = "auto", "leave"

# Most services with a fixed port live below 10240. Taking those ports too would gain a sixth; reuse gains sixty times.
WIDE = PortRange(10240, MAX_PORT)
# Linux has had the second one since 4.2.
_KERNEL_RANGES = (PortRange(32768, 61000), KERNEL_RANGE)

PURPOSES = {
    RESERVED_PORTS: "Ports that belong to services: no outgoing connection takes them.",
    PORT_RANGE: "Local ports for outgoing connections; this many for each destination.",
    TIMESTAMPS: "tcp_tw_reuse works for connections that have timestamps only.",
    TW_REUSE: "Whether an outgoing connection may reuse a port that is in TIME_WAIT.",
    TW_RECYCLE: "1 drops connections of clients behind NAT, 0 is safe.",
}

FEWER_PORTS = "fewer_ports"
RISKS = frozenset({"tcp_tw_recycle", FEWER_PORTS})

_CHOICES = {"tcp_tw_reuse": ("0", "1", "2"), "tcp_timestamps": ("0", "1", "2"), "tcp_tw_recycle": ("0", "1")}
_PLACE = 200  # characters of a path


class PolicyError(ValueError):
    """The policy names something impossible. The message names the option, the value, and what would be right."""


@dataclass(frozen=True)
class Decision:
    """What to do with a key.

    wanted is None where the drop-in does not carry the key. reason tells why this action; purpose, what the key is for,
    which is the same in every run and so can stand in the drop-in. before: the value to which a key that was ours goes
    back, once the drop-in does not carry it any more.
    """

    key: str
    current: str | None
    wanted: str | None
    action: Action
    reason: str
    parts: tuple[str, ...] = ()
    before: str | None = None

    @property
    def purpose(self) -> str:
        return PURPOSES[self.key]

    def setting(self) -> Setting:
        return {
            "key": self.key,
            "current": self.current,
            "wanted": self.wanted,
            "action": self.action,
            "reason": self.reason,
            "purpose": self.purpose,
            "parts": list(self.parts),
        }

    @property
    def result(self) -> str | None:
        """The value that will be in force."""
        if self.wanted is not None:
            return self.wanted
        return self.current if self.before is None else self.before


@dataclass(frozen=True)
class Policy:
    """What the user wants of each key: AUTO, LEAVE, or a value."""

    ip_local_port_range: PortRange | str = AUTO
    ip_local_reserved_ports: PortSet | str = AUTO
    tcp_tw_reuse: str = AUTO
    tcp_timestamps: str = AUTO
    tcp_tw_recycle: str = LEAVE
    reserve: PortSet = field(default_factory=PortSet)
    do_not_reserve: PortSet = field(default_factory=PortSet)
    accept_risk: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Host:
    """What decides of a usage.

    port_range, reserved: what is in force. own: what this collection has set, and what it was before. asked: reserved
    ports that it was asked for by name. tcp: ports of listeners. udp: ports of UDP services; udp_clients: those that a
    client seems to have. lines: of sysctl files other than our drop-in.
    """

    kernel: Mapping[str, Any]
    sysctls: Mapping[str, str | None]
    own: Mapping[str, AppliedKey]
    asked: PortSet
    port_range: PortRange
    reserved: PortSet
    reserved_in_files: PortSet
    tcp: PortSet
    udp: PortSet
    udp_clients: PortSet
    claims: tuple[Claim, ...]
    lines: tuple[PortLine, ...]
    first_port: int

    @property
    def version(self) -> features.Version:
        major, minor, patch = map(int, self.kernel["version"])
        return major, minor, patch

    @property
    def is_two_pass(self) -> bool:
        return bool(self.kernel["two_pass_port_search"]["supported"])

    @property
    def short_version(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    def value(self, name: str) -> str | None:
        return self.sysctls[f"net.ipv4.{name}"]

    def before(self, key: str) -> str | None:
        """The value as it would be without us: what somebody else has set since is not ours."""
        current, own = self.sysctls[key], self.own.get(key)
        if current is None or own is None:
            return current
        if key == RESERVED_PORTS:
            return without_ours(own["before"], own["applied"], current)
        return sysctl.with_blanks(own["before"]) if sysctl.same(key, current, own["applied"]) else current

    @property
    def range_before(self) -> PortRange:
        return parse_range(self.before(PORT_RANGE) or "")

    @property
    def reserved_before(self) -> PortSet:
        return parse_ports(self.before(RESERVED_PORTS) or "")


def make_plan(usage: Mapping[str, Any], policy: Mapping[str, Any], dropin: str = DROPIN) -> Plan:
    """Decide on every key; the settings come in the order in which the drop-in lists them.

    dropin is the path of the file that is to carry them: what stands there is nobody else's decision. In the result,
    dropin are those of the settings that it carries. Raises PolicyError, or ValueError for a usage that is none.
    """
    host, wish = read_usage(usage, dropin), read_policy(policy)
    widened = _plan_range(host, wish)
    found = _found(host, wish, parse_range(widened.result or ""))
    reserved = _plan_reserved(host, wish, found)
    widened = _refuse_to_cover(host, widened, reserved, found)
    _check_what_is_left(host, wish, widened, reserved, found)
    timestamps = _plan_timestamps(host, wish)
    reuse, recycle = _plan_reuse(host, wish, timestamps), _plan_recycle(host, wish)
    settings = [reserved, _count(host, widened, reserved), timestamps, reuse, recycle]
    return {
        "kind": "plan",
        "settings": [setting.setting() for setting in settings],
        "dropin": [setting.setting() for setting in settings if setting.wanted is not None],
        "sustainable_rate": _sustainable_rate(host, settings),
    }


def read_usage(usage: Mapping[str, Any], dropin: str = DROPIN) -> Host:
    """Raises ValueError unless it is a result of port_usage_info that knows the services."""
    if usage.get("method") == "sockstat":
        raise ValueError("the services of this host were not observed; call port_usage_info with detail: full")
    try:
        sysctls = usage["sysctls"]
        port_range, reserved = ports_in_force(sysctls)
        services, lines, journal = usage["listening_ports"], usage["port_lines"], usage.get("journal") or {}
        return Host(
            kernel=usage["kernel"],
            sysctls=sysctls,
            own=journal.get("keys", {}),
            asked=parse_ports(journal.get("asked", "")),
            port_range=port_range,
            reserved=reserved,
            reserved_in_files=parse_ports(usage["reserved_in_files"]),
            tcp=PortSet.of(services["tcp"]),
            udp=PortSet.of(services["udp"]),
            udp_clients=PortSet.of(services["udp_clients"]),
            claims=tuple(usage["claims"] or ()),
            lines=tuple(line for line in lines if line["file"] != dropin),
            first_port=int(sysctls[keys.UNPRIVILEGED_PORT_START] or FIRST_UNPRIVILEGED),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the input is not a result of netops.ephemeral_ports.port_usage_info: {error}") from error


def read_policy(policy: Mapping[str, Any]) -> Policy:
    """Raises PolicyError that names the option."""
    known = [entry.name for entry in fields(Policy)]
    for name in policy:
        if name not in known:
            raise PolicyError(f"{name} is not a part of the policy; known are {', '.join(known)}")
    wish = Policy(**{name: _read_option(name, given) for name, given in policy.items()})
    if wish.reserve and wish.ip_local_reserved_ports == LEAVE:
        raise PolicyError("reserve names ports, but ip_local_reserved_ports is leave; let it be auto")
    return wish


def _read_option(name: str, given: object) -> Any:  # noqa: ANN401 - the type is that of the field of Policy
    try:
        return _parse_option(name, given)
    except ValueError as error:
        raise PolicyError(f"{name}: {error}") from error


def _parse_option(name: str, given: object) -> object:
    if name in ("reserve", "do_not_reserve", "accept_risk"):
        values = [_word(value) for value in (given if isinstance(given, (list, tuple)) else [given])]
        if name != "accept_risk":
            return parse_ports(",".join(values))
        if not RISKS.issuperset(values):
            raise ValueError(f"{', '.join(values)} names no risk; known are {', '.join(sorted(RISKS))}")
        return frozenset(values)
    value = _word(given)
    if value in (AUTO, LEAVE) and (name, value) != ("tcp_tw_recycle", AUTO):
        return value
    if name == "ip_local_port_range":
        return parse_range(value)
    if name == "ip_local_reserved_ports":
        return parse_ports(value)
    if value not in _CHOICES[name]:
        words = [LEAVE] if name == "tcp_tw_recycle" else [AUTO, LEAVE]
        raise ValueError(f"{value!r} is not one of {', '.join([*words, *_CHOICES[name]])}")
    return value


def _word(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError(f"the boolean {str(value).lower()} is not a value here; give a number or a word in quotes")
    if not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is not a number or a string")
    return str(value).strip()


def _plan_range(host: Host, wish: Policy) -> Decision:
    """Its reason does not say yet how many ports there are to use: that depends on what is reserved."""
    key, current = PORT_RANGE, str(host.port_range)
    if wish.ip_local_port_range == LEAVE:
        return _left_alone(host, key, current)
    if isinstance(wish.ip_local_port_range, PortRange):
        return _fixed_range(key, host, wish.ip_local_port_range)
    wanted = _widest(host.range_before, host.first_port)
    chosen = _range_of_a_file(host) if wanted != host.range_before else None
    if chosen is not None:
        reason = f"{_place(chosen)} chose {chosen['means']}, so auto does not widen it"
        overrule = f"to overrule, choose ip_local_port_range: {wanted}"
        return _not_carried(host, key, current, f"{reason}; {overrule}.")
    if wanted == host.port_range:
        reason = "The range is as wide as this policy makes it."
        if wanted.low < FIRST_UNPRIVILEGED:
            # A boot refuses it unless somebody lowers ip_unprivileged_port_start before: theirs, as the range.
            return _not_carried(host, key, current, reason)
        return Decision(key, current, current, "keep", reason)
    return Decision(key, current, str(wanted), "set", f"Ports below {wanted.low} stay free for services.")


def _range_of_a_file(host: Host) -> PortLine | None:
    """The last line by which somebody else chose another range than the kernel's own."""
    lines = [line for line in host.lines if line["key"] == PORT_RANGE and line["means"] and not line["refused"]]
    return lines[-1] if lines and parse_range(lines[-1]["means"] or "") not in _KERNEL_RANGES else None


def _fixed_range(key: str, host: Host, wanted: PortRange) -> Decision:
    current = str(host.port_range)
    if host.value("ip_unprivileged_port_start") is not None and wanted.low < host.first_port:
        raise PolicyError(
            f"ip_local_port_range: {wanted} begins below net.ipv4.ip_unprivileged_port_start, which is "
            f"{host.first_port} here; let it begin at {host.first_port} or above"
        )
    if wanted == host.port_range:
        return Decision(key, current, current, "keep", "The range is the one that you chose.")
    if range_ports(host.range_before) - range_ports(wanted):
        whose = "that is in force" if host.range_before == host.port_range else "from before the first apply"
        reason = f"{wanted} would narrow the range {whose}; choose one that contains {host.range_before}."
        return Decision(key, current, current, "refuse", reason)
    odd = " Its size is odd: one port of it will not be used." if left_out(wanted, host.is_two_pass) else ""
    return Decision(key, current, str(wanted), "set", f"You chose this range.{odd}")


def _count(host: Host, widened: Decision, reserved: Decision) -> Decision:
    """With the numbers of ports that can be used before and after, where the range is set."""
    if widened.action != "set":
        return widened
    before, after = _usable(host), _usable(host, widened, reserved)
    gain = f"{after} usable ports per destination instead of {before}."
    return replace(widened, reason=f"{gain} {widened.reason}")


def _widest(current: PortRange, first_port: int) -> PortRange:
    """WIDE, never narrower than at current, and of even size if that is possible."""
    low = min(current.low, max(WIDE.low, first_port))
    if PortRange(low, WIDE.high).is_even:
        return PortRange(low, WIDE.high)
    if low < current.low:
        return PortRange(low + 1, WIDE.high)
    return PortRange(low - 1 if low > max(first_port, 1) else low, WIDE.high)


@dataclass(frozen=True)
class Found:
    """Ports of others that connect() could take after the plan. newly: those of them that it cannot take without us."""

    reasons: tuple[tuple[PortSet, str], ...]
    newly: PortSet

    @property
    def ports(self) -> PortSet:
        return union(ports for ports, _why in self.reasons)


def _found(host: Host, wish: Policy, after: PortRange) -> Found:
    """In today's range, a UDP socket that is not connected is most likely a client that waits for an answer."""
    reach, today = range_ports(after), range_ports(host.port_range)
    reached = range_ports(host.range_before) | host.reserved_before
    every = [
        (host.tcp | (host.udp - today), "{} belong to services that listen"),
        *((parse_ports(claim["ports"]), f"{{}} are {_claimed(claim)}") for claim in host.claims),
    ]
    inside = [(ports & reach - wish.do_not_reserve, why) for ports, why in every]
    reasons = tuple((ports, why) for ports, why in inside if ports)
    return Found(reasons, union(ports for ports, _why in reasons) - reached)


def _claimed(claim: Claim) -> str:
    where = f" ({_one_line(claim['where'])})" if claim["where"] else ""
    words = {
        "kubernetes": f"node ports of Kubernetes{where or ' (the default)'}",
        "docker": f"published by Docker{where}",
        "cni": f"published by containers{where}",
        "nat": "led elsewhere by DNAT rules",
    }
    return words[claim["by"]]


def _plan_reserved(host: Host, wish: Policy, found: Found) -> Decision:
    key, current = RESERVED_PORTS, str(host.reserved)
    if host.value("ip_local_reserved_ports") is None:
        return _hidden(key)
    if wish.ip_local_reserved_ports == LEAVE:
        return _leave_reserved(host, key, current)
    if isinstance(wish.ip_local_reserved_ports, PortSet):
        wanted = wish.ip_local_reserved_ports | wish.reserve
        dropped = (host.reserved_before | host.reserved_in_files) - wanted
        if dropped:
            reason = f"Your list would drop {dropped}, which others have reserved; name it too."
            return Decision(key, current, current or None, "refuse", reason)
        action: Action = "keep" if wanted == host.reserved else "set"
        return Decision(key, current, str(wanted), action, "This is the list that you chose.")
    needed = host.reserved_before | host.reserved_in_files | found.ports | wish.reserve
    released = (host.reserved & host.asked) - needed
    wanted = needed | (host.reserved - released)
    parts, notes = _parts(host, wish, wanted), _notes(host)
    if released:
        notes = [f"nobody asks for {released} any more", *notes]
    if not wanted:
        return _not_carried(
            host, key, current, _sentence(*notes) if released else _sentence("no port needs it", *notes)
        )
    if wanted != host.reserved:
        reason = _sentence(*_why_reserved(host, wish, found), *notes)
        return Decision(key, current, str(wanted), "set", reason, parts)
    return Decision(
        key, current, current, "keep", _sentence("all ports that need it are reserved already", *notes), parts
    )


def _leave_reserved(host: Host, key: str, current: str) -> Decision:
    left = str(host.reserved_before)
    if not left:
        return _left_alone(host, key, current)
    if left != current:
        return Decision(key, current, left, "set", "You chose to leave it alone; what others have reserved stays so.")
    reason = "You chose to leave it alone; what is reserved stays so, because the range may reach it."
    return Decision(key, current, current, "keep", reason)


def _why_reserved(host: Host, wish: Policy, found: Found) -> list[str]:
    """Each part of what is not reserved yet, by the first reason that there is for it."""
    left = (host.reserved_in_files | found.ports | wish.reserve) - host.reserved
    named = [(wish.reserve, "you named {}"), (host.reserved_in_files, "sysctl files name {}")]
    why = []
    for ports, words in [*found.reasons, *named]:
        if ports & left:
            why.append(words.format(ports & left))
        left -= ports
    return why


def _notes(host: Host) -> list[str]:
    """What else is worth knowing: lines that have no effect, and sockets that were taken for clients."""
    refused = [line for line in host.lines if line["key"] == RESERVED_PORTS and line["refused"] and line["means"]]
    notes = [f"the kernel refuses the line {_place(line)}, which means {line['means']}" for line in refused]
    if host.udp_clients:
        number = len(host.udp_clients)
        notes.append(f"{number} UDP ports without pattern were taken for a client's; name them if they are services")
    return notes


def _parts(host: Host, wish: Policy, wanted: PortSet) -> tuple[str, ...]:
    """What stands beside the list in the drop-in: nothing that comes and goes, or each run would write it anew."""
    lines = [line for line in host.lines if line["key"] == RESERVED_PORTS]
    reasons = [
        (wish.reserve, "named in the inventory"),
        *((parse_ports(claim["ports"]), _claimed(claim)) for claim in host.claims if claim["by"] == "kubernetes"),
        *((parse_ports(line["means"] or ""), f"{_place(line)} reserves them") for line in lines),
        (wanted, "services that listened or were published, or reserved before"),
    ]
    parts = []
    for ports, why in reasons:
        if ports & wanted:
            parts.append(f"{ports & wanted}: {why}")
        wanted -= ports
    return tuple(parts)


def _refuse_to_cover(host: Host, widened: Decision, reserved: Decision, found: Found) -> Decision:
    exposed = found.newly - parse_ports(reserved.result or "")
    if not exposed:
        return widened
    who = "; ".join(words.format(ports & exposed) for ports, words in found.reasons if ports & exposed)
    reason = f"It would reach ports that ip_local_reserved_ports does not reserve: {who}."
    return replace(widened, wanted=str(host.port_range), action="refuse", reason=reason)


def _check_what_is_left(host: Host, wish: Policy, widened: Decision, reserved: Decision, found: Found) -> None:
    """Ports that were found are not missed by anybody; those that a slip names may be all that there are."""
    before, after = _usable_before(host), _usable(host, widened, reserved)
    lists = {"reserve": wish.reserve, "ip_local_reserved_ports": wish.ip_local_reserved_ports}
    new = range_ports(parse_range(widened.result or "")) - host.reserved_before
    named = {name: ports for name, ports in lists.items() if isinstance(ports, PortSet) and ports & new}
    accepted = not named or FEWER_PORTS in wish.accept_risk
    if after >= before or (after and accepted):
        return
    name, ports = next(iter(named.items()), ("ip_local_reserved_ports", parse_ports(reserved.result or "")))
    left = f"{after} usable ports" if after else "no usable port"
    advice = f"name fewer, or accept it with accept_risk: [{FEWER_PORTS}]" if after else "name fewer"
    if not named and found.reasons:
        who = "; ".join(words.format(ports) for ports, words in found.reasons)
        advice = f"{who}; name in do_not_reserve those that connections may take"
    raise PolicyError(f"{name}: {ports} leaves {left} of {widened.result}, and there are {before} today; {advice}")


def _plan_timestamps(host: Host, wish: Policy) -> Decision:
    key, current = TIMESTAMPS, host.value("tcp_timestamps")
    if current is None:
        return _hidden(key)
    if wish.tcp_timestamps == LEAVE:
        return _left_alone(host, key, current)
    if wish.tcp_timestamps != AUTO:
        return _fixed(key, current, wish.tcp_timestamps)
    own = host.own.get(key)
    # Where somebody has switched them off since, a rollback still goes back to what was before the first apply.
    before = own["before"] if own and current == "0" else host.before(key) or current
    wanted = "1" if before == "0" else before
    if wanted == current:
        return Decision(key, current, current, "keep", "tcp_tw_reuse needs timestamps, and they are on.")
    if current == "0":
        reason = "Without timestamps no port in TIME_WAIT can be reused, so they are switched on again."
        return Decision(key, current, wanted, "set", reason)
    return Decision(key, current, wanted, "set", "tcp_tw_reuse needs timestamps, and they are on with this value too.")


def _plan_reuse(host: Host, wish: Policy, timestamps: Decision) -> Decision:
    key, current, wanted = TW_REUSE, host.value("tcp_tw_reuse"), wish.tcp_tw_reuse
    if current is None:
        return _hidden(key)
    if wanted == LEAVE:
        return _left_alone(host, key, current)
    if wanted != "0" and timestamps.result == "0":
        reason = "It does nothing while tcp_timestamps is 0; let tcp_timestamps be switched on."
        return Decision(key, current, current, "refuse", reason)
    if wanted == "2" and 2 not in host.kernel["tcp_tw_reuse"]["modes"]:
        reason = f"Linux {host.short_version} takes 2 for 1; loopback only came with 4.18. Choose 0 or 1."
        return Decision(key, current, current, "refuse", reason)
    if wanted != AUTO:
        return _fixed(key, current, wanted)
    seconds = _seconds(host.kernel["reuse_delay"]["milliseconds"])
    if current == "1":
        return Decision(
            key, current, current, "keep", f"A port is free again {seconds} after its connection was closed."
        )
    whole = _seconds(reuse_in_force(host.kernel, host.sysctls).lasts_ms())
    reason = f"A port is free again {seconds} after its connection was closed, not {whole}."
    return Decision(key, current, "1", "set", reason)


def _plan_recycle(host: Host, wish: Policy) -> Decision:
    key, current, wanted = TW_RECYCLE, host.value("tcp_tw_recycle"), wish.tcp_tw_recycle
    if current is None:
        if host.version < features.RECYCLE_REMOVED:
            return _hidden(key)
        removed = keys.ROWS[key].removed
        reason = f"Linux {host.short_version} does not have it (removed in {removed}); tcp_tw_reuse does the work."
        return Decision(key, None, None, "unsupported", reason)
    if wanted == "1" and "tcp_tw_recycle" not in wish.accept_risk:
        reason = "It drops connections of clients behind NAT; to insist, name tcp_tw_recycle in accept_risk."
        return Decision(key, current, None, "refuse", reason, before=host.before(key))
    if wanted != LEAVE:
        return _fixed(key, current, wanted)
    before = host.before(key)
    if before != current:
        return _left_alone(host, key, current)
    if current != "0":
        reason = "It is on and drops connections of clients behind NAT; choose 0 to switch it off."
    else:
        reason = "It is off, as it should be: it drops connections of clients behind NAT."
    return Decision(key, current, None, "keep", reason)


def _hidden(key: str) -> Decision:
    reason = f"Not visible in this network namespace: {keys.why_hidden(key)}. Set it on the host."
    return Decision(key, None, None, "unsupported", reason)


def _left_alone(host: Host, key: str, current: str) -> Decision:
    return _not_carried(host, key, current, "You chose to leave it alone.")


def _not_carried(host: Host, key: str, current: str, reason: str) -> Decision:
    """What the drop-in does not carry stays as it is, or goes back to what it was where we have set it."""
    before = host.before(key)
    if before is None or sysctl.same(key, before, current):
        return Decision(key, current, None, "keep", reason)
    reason = f"{reason} It goes back to {before or 'empty'}, as it was before this collection set it."
    return Decision(key, current, None, "release", reason, before=before)


def _fixed(key: str, current: str, wanted: str) -> Decision:
    return Decision(key, current, wanted, "keep" if current == wanted else "set", "You chose this value.")


def _sustainable_rate(host: Host, settings: list[Decision]) -> SustainableRate:
    """New connections per second to one destination that is not loopback, for ever, before and after the plan.

    Ports that listeners hold within the range are not subtracted: they come and go, the configuration stays.
    """
    after = {**host.sysctls, **{setting.key: setting.result for setting in settings}}
    usable_before, hold_before = _capacity(host, host.sysctls)
    usable_after, hold_after = _capacity(host, after)
    return {
        "before": round(usable_before / hold_before, 1),
        "usable_before": usable_before,
        "hold_seconds_before": hold_before,
        "after": round(usable_after / hold_after, 1),
        "usable_after": usable_after,
        "hold_seconds_after": hold_after,
    }


def _capacity(host: Host, sysctls: Mapping[str, str | None]) -> tuple[int, float]:
    """Usable ports, and for how many seconds a closed connection blocks one."""
    reuse = reuse_in_force(host.kernel, sysctls)
    hold_ms = min(reuse.delay_ms, reuse.lasts_ms()) if reuse.mode == 1 else reuse.lasts_ms()
    return usable_ports(*ports_in_force(sysctls), host.is_two_pass), hold_ms / 1000


def _usable_before(host: Host) -> int:
    """As many as there would be without us."""
    without = {key: host.before(key) for key in (PORT_RANGE, RESERVED_PORTS)}
    return usable_ports(*ports_in_force(without), host.is_two_pass)


def _usable(host: Host, *decisions: Decision) -> int:
    after = {**host.sysctls, **{decision.key: decision.result for decision in decisions}}
    return usable_ports(*ports_in_force(after), host.is_two_pass)


def wanted_state(plan: Plan, usage: Usage, is_trial: bool) -> Literal["present", "absent"] | None:
    """What sysctl_dropin is to bring about: None where the plan sets nothing, and nothing is to be rolled back.

    On trial a file without settings is left, so that the whole can be rolled back by itself.
    """
    ours = usage["journal"]
    if plan["dropin"] or (ours and ours["keys"] and is_trial):
        return "present"
    return "absent" if ours and not is_trial else None


def asked_ports(policy: Mapping[str, Any]) -> str:
    """The reserved ports that the user names. A later run releases those that are not named any more."""
    wish = read_policy(policy)
    listed = wish.ip_local_reserved_ports
    return str(wish.reserve | (listed if isinstance(listed, PortSet) else PortSet()))


def refused_wishes(plan: Plan, policy: Mapping[str, Any]) -> list[str]:
    """What the plan refuses of what the user has chosen, in words; not what auto would have liked."""
    wish = read_policy(policy)
    chosen = {f"net.ipv4.{one.name}" for one in fields(Policy) if getattr(wish, one.name) not in (AUTO, LEAVE)}
    refused = [one for one in plan["settings"] if one["action"] == "refuse" and one["key"] in chosen]
    return [f"{one['key'].removeprefix('net.ipv4.')}: {one['reason']}" for one in refused]


def broken_promises(plan: Plan, applied: ApplyResult) -> list[str]:
    """Planned values that were not applied, in words."""
    results = {one["key"]: one for one in applied["settings"]}
    found = []
    for setting in plan["dropin"]:
        key, wanted = setting["key"], setting["wanted"] or ""
        after = results[key]["after"] if key in results else None
        if after is None or not sysctl.same(key, after, wanted):
            found.append(f"{key} is {after or 'not set'}, planned was {wanted or 'empty'}")
    return found


def _place(line: PortLine) -> str:
    return f"{_one_line(line['file'])}:{line['line']}"


def _one_line(path: str) -> str:
    """It stands in a comment of the drop-in."""
    return " ".join(clean(path, _PLACE).split())


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"


def _sentence(*clauses: str) -> str:
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."

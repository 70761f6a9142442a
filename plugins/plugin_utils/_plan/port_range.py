# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How wide the range becomes: never over ports of others, never fewer usable ports than before by a slip. Pure."""

from __future__ import annotations

from ...module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS
from ...module_utils._kernel.ports import (
    FIRST_UNPRIVILEGED,
    KERNEL_RANGE,
    MAX_PORT,
    PortRange,
    PortSet,
    left_out,
    parse_ports,
    parse_range,
    range_ports,
)
from .._model import PortLine
from .decision import Decision, left_alone, not_carried
from .host import Host
from .others import Found, place
from .policy import FEWER_PORTS, LEAVE, Policy, PolicyError

# Most services with a fixed port live below 10240. Taking those ports too would gain a sixth; reuse gains sixty times.
WIDE = PortRange(10240, MAX_PORT)
# Linux has had the second one since 4.2.
_KERNEL_RANGES = (PortRange(32768, 61000), KERNEL_RANGE)


def plan_range(host: Host, wish: Policy) -> Decision:
    """Its reason does not say yet how many ports there are to use: that depends on what is reserved."""
    key, current = PORT_RANGE, str(host.port_range)
    if wish.ip_local_port_range == LEAVE:
        return left_alone(host, key, current)
    if isinstance(wish.ip_local_port_range, PortRange):
        return _fixed_range(key, host, wish.ip_local_port_range)
    wanted = _widest(host.range_before, host.first_port)
    chosen = _who_chose(host) if wanted != host.range_before else None
    if chosen is not None:
        reason = f"{chosen}, so auto does not widen it"
        overrule = f"to overrule, choose ip_local_port_range: {wanted}"
        return not_carried(host, key, current, f"{reason}; {overrule}.")
    if wanted == host.port_range:
        reason = "The range is as wide as this policy makes it."
        if wanted.low < FIRST_UNPRIVILEGED:
            # A boot refuses it unless somebody lowers ip_unprivileged_port_start before: theirs, as the range.
            return not_carried(host, key, current, reason)
        return Decision(key, current, current, "keep", reason)
    return Decision(key, current, str(wanted), "set", f"Ports below {wanted.low} stay free for services.")


def _who_chose(host: Host) -> str | None:
    """Who chose another range than the kernel's own: the last line of a file, or whoever made a network namespace."""
    if host.is_elsewhere:
        is_new = host.range_before in _KERNEL_RANGES
        return None if is_new else f"Somebody chose {host.range_before} for this network namespace"
    line = _last_line(host)
    if line is None or parse_range(line["means"] or "") in _KERNEL_RANGES:
        return None
    return f"{place(line)} chose {line['means']}"


def _last_line(host: Host) -> PortLine | None:
    lines = [line for line in host.lines if line["key"] == PORT_RANGE and line["means"] and not line["refused"]]
    return lines[-1] if lines else None


def reach(host: Host, widened: Decision) -> PortSet:
    """The ports of the range after the plan; where it is ours no more, also those that a file may have chosen since."""
    ports, line = range_ports(parse_range(widened.result or "")), _last_line(host)
    if line and widened.wanted is None and PORT_RANGE in host.own:
        ports |= range_ports(parse_range(line["means"] or ""))
    return ports


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


def _widest(current: PortRange, first_port: int) -> PortRange:
    """WIDE, never narrower than at current, and of even size if that is possible."""
    low = min(current.low, max(WIDE.low, first_port))
    if PortRange(low, WIDE.high).is_even:
        return PortRange(low, WIDE.high)
    if low < current.low:
        return PortRange(low + 1, WIDE.high)
    return PortRange(low - 1 if low > max(first_port, 1) else low, WIDE.high)


def refuse_to_cover(host: Host, widened: Decision, reserved: Decision, found: Found) -> Decision:
    """Where it is ours already, since these ports were reserved or free, it goes back."""
    exposed = found.newly - parse_ports(reserved.result or "")
    if not exposed:
        return widened
    reason = f"It would reach ports that ip_local_reserved_ports does not reserve: {found.whose(exposed)}."
    if host.range_before != host.port_range:
        reason = f"{reason} It goes back to {host.range_before}, as it was before this collection set it."
    return widened._replace(wanted=str(host.range_before), action="refuse", reason=reason)


def count(host: Host, widened: Decision, reserved: Decision) -> Decision:
    """With the numbers of ports that can be used before and after, where the range is set."""
    if widened.action != "set":
        return widened
    before = host.usable(host.sysctls[PORT_RANGE], host.sysctls[RESERVED_PORTS])
    after = host.usable(widened.result, reserved.result)
    gain = f"{after} usable ports per destination instead of {before}."
    return widened._replace(reason=f"{gain} {widened.reason}")


def check_what_is_left(host: Host, wish: Policy, widened: Decision, reserved: Decision, found: Found) -> None:
    """Ports that were found are not missed by anybody; those that a slip names may be all that there are."""
    before, after = host.usable_without_us(), host.usable(widened.result, reserved.result)
    if after >= before:
        return
    lists = {"reserve": wish.reserve, "ip_local_reserved_ports": wish.ip_local_reserved_ports}
    new = range_ports(parse_range(widened.result or "")) - host.reserved_before
    named = {name: ports for name, ports in lists.items() if isinstance(ports, PortSet) and ports & new}
    accepted = not named or FEWER_PORTS in wish.accept_risk
    if after and accepted:
        return
    name, ports = next(iter(named.items()), ("ip_local_reserved_ports", parse_ports(reserved.result or "")))
    left = f"{after} usable ports" if after else "no usable port"
    advice = f"name fewer, or accept it with accept_risk: [{FEWER_PORTS}]" if after else "name fewer"
    if not named and found.reasons:
        advice = f"{found.whose(found.ports)}; name in do_not_reserve those that connections may take"
    raise PolicyError(f"{name}: {ports} leaves {left} of {widened.result}, and there are {before} today; {advice}")

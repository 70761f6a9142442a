# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports connect() is to leave alone, each with its reason: others need them, or the user names them. Pure."""

from __future__ import annotations

from ...module_utils._kernel.keys import RESERVED_PORTS
from ...module_utils._kernel.ports import PortSet, parse_ports
from .decision import Action, Decision, hidden, left_alone, not_carried
from .host import Host
from .others import IN_FILES, Found, claimed, place
from .policy import LEAVE, Policy


def plan_reserved(host: Host, wish: Policy, found: Found) -> Decision:
    key, current = RESERVED_PORTS, str(host.reserved)
    if host.value("ip_local_reserved_ports") is None:
        return hidden(key)
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
        return not_carried(host, key, current, _sentence(*notes) if released else _sentence("no port needs it", *notes))
    if wanted != host.reserved:
        reason = _sentence(*_why_reserved(host, wish, found), *notes)
        return Decision(key, current, str(wanted), "set", reason, parts)
    return Decision(
        key, current, current, "keep", _sentence("all ports that need it are reserved already", *notes), parts
    )


def _leave_reserved(host: Host, key: str, current: str) -> Decision:
    left = str(host.reserved_before)
    if not left:
        return left_alone(host, key, current)
    if left != current:
        return Decision(key, current, left, "set", "You chose to leave it alone; what others have reserved stays so.")
    reason = "You chose to leave it alone; what is reserved stays so, because the range may reach it."
    return Decision(key, current, current, "keep", reason)


def _why_reserved(host: Host, wish: Policy, found: Found) -> list[str]:
    """Each part of what is not reserved yet, by the first reason that there is for it."""
    left = (host.reserved_in_files | found.ports | wish.reserve) - host.reserved
    named = [(wish.reserve, "you named {}"), (host.reserved_in_files, IN_FILES)]
    why = []
    for ports, words in [*found.reasons, *named]:
        if inside := ports & left:
            why.append(words.format(inside))
            left -= inside
    return why


def _notes(host: Host) -> list[str]:
    """What else is worth knowing: lines that have no effect, and sockets that were taken for clients."""
    refused = [line for line in host.lines if line["key"] == RESERVED_PORTS and line["refused"] and line["means"]]
    notes = [f"the kernel refuses the line {place(line)}, which means {line['means']}" for line in refused]
    if host.udp_clients:
        number = len(host.udp_clients)
        notes.append(f"{number} UDP ports without pattern were taken for a client's; name them if they are services")
    return notes


def _parts(host: Host, wish: Policy, wanted: PortSet) -> tuple[str, ...]:
    """What stands beside the list in the drop-in: nothing that comes and goes, or each run would write it anew."""
    lines = [line for line in host.lines if line["key"] == RESERVED_PORTS]
    reasons = [
        (wish.reserve, "named in the inventory"),
        *((parse_ports(claim["ports"]), claimed(claim)) for claim in host.claims if claim["by"] == "kubernetes"),
        *((parse_ports(line["means"] or ""), f"{place(line)} reserves them") for line in lines),
        (wanted, "services that listened or were published, or reserved before"),
    ]
    parts = []
    for ports, why in reasons:
        if inside := ports & wanted:
            parts.append(f"{inside}: {why}")
            wanted -= inside
    return tuple(parts)


def _sentence(*clauses: str) -> str:
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."

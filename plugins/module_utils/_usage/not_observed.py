# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a usage says nothing about, so that its level is not taken for more than it is. Pure."""

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from .._kernel.namespaces import Others
from .._kernel.sockstat import udp_sockets

# Why: the counters were enough; it is not observed from here; there was no time; only root may. Where the kernel was
# not asked, as in the field probe.
COUNTERS, ELSEWHERE, TIME, NOT_ALLOWED = "counters", "elsewhere", "time", "not_allowed"


class Observed(NamedTuple):
    """What was. sockets: whether they were read. probe: whether the kernel was asked. unasked: destinations that it was
    not asked about although it would have told more. others: the network namespaces beside this one. udp: whether its
    sockets were counted, at least, where the kernel counts them. nat: entries of connection tracking that only root may
    read, of which some may be of NAT.
    """

    sockets: bool
    probe: str
    unasked: int
    others: Others
    udp: bool
    nat: int = 0


def not_observed(given: Observed, sockstat: Mapping[str, Mapping[str, int]]) -> List[Dict[str, Any]]:
    return [{"what": what, "number": number, "why": why} for what, number, why in _each(given, sockstat)]


class _Item(NamedTuple):
    """number: None where it is not known at all; of namespaces at least so many, unless the reason is ELSEWHERE."""

    what: str
    number: Optional[int]
    why: str


def _each(given: Observed, sockstat: Mapping[str, Mapping[str, int]]) -> Iterator[_Item]:
    if not given.sockets:
        yield _Item("sockets", None, COUNTERS)
    if not given.udp or "UDP" not in sockstat:
        yield _Item("udp", udp_sockets(sockstat) or None, COUNTERS)
    if given.unasked:
        yield _Item("destinations", given.unasked, TIME if given.probe == "asked" else given.probe)
    if given.nat:
        yield _Item("nat", given.nat, NOT_ALLOWED)
    number, untold, unread = given.others
    if untold or unread:
        yield _Item("namespaces", number, NOT_ALLOWED if untold else TIME)
    elif number:
        yield _Item("namespaces", number, ELSEWHERE)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""States in which connections stay when something is wrong: what that is, and what helps. Pure."""

from typing import Any, Iterator, Mapping, NamedTuple, Tuple

# A state is worth a word once it holds this share of the usable ports, live connections once most of the blocked.
SHARE = 0.1
LIVE_SHARE = 0.5


class Stuck(NamedTuple):
    """id: of the finding. is_usual: whether connections are in these states as well where nothing is wrong, as long as
    ports are left.
    """

    id: str
    states: Tuple[str, ...]
    what: str
    remedy: str
    is_usual: bool = False

    def number(self, pool: Mapping[str, Any]) -> int:
        """Connections of a pool that are in one of the states."""
        return sum(pool["states"].get(state, 0) for state in self.states)


KINDS = (
    Stuck(
        "close-wait-leak",
        ("CLOSE_WAIT",),
        "are in CLOSE_WAIT: the peer has closed, a program on this host has not",
        "Fix or restart the program (ss -tnp state close-wait names it). No sysctl and no keep-alive helps",
    ),
    Stuck(
        "syn-sent-unanswered",
        ("SYN_SENT",),
        "are in SYN_SENT: neither the peer nor a firewall before it answers",
        "Find out where these packets stay; tcp_syn_retries bounds how long such a port is held",
    ),
    Stuck(
        "fin-wait2-held",
        ("FIN_WAIT2",),
        "wait in FIN_WAIT_2 for the peer to close",
        "Fix the peer, which keeps its end open; tcp_fin_timeout bounds how long such a port is held",
    ),
    Stuck(
        "closing-unanswered",
        ("FIN_WAIT1", "LAST_ACK", "CLOSING"),
        "wait for the peer to acknowledge that they are closed",
        "Find out why the peer, or the network, no longer answers; tcp_orphan_retries bounds how long it lasts",
    ),
    Stuck(
        "too-many-open",
        ("ESTABLISHED",),
        "are open (ESTABLISHED) at the same time",
        "Find the program that holds them (ss -tnp state established): either it closes none (a leak: fix or restart "
        "it), or its pool has no limit. No sysctl but a wider range helps, and keep-alive holds them even longer",
        is_usual=True,
    ),
)


def most_stuck(pool: Mapping[str, Any]) -> Stuck:
    """The kind that most of its connections are."""
    return max(KINDS, key=lambda kind: kind.number(pool))


def worth_a_word(pool: Mapping[str, Any], usable: int, in_trouble: bool) -> Iterator[Tuple[Stuck, int]]:
    """Each kind of which there are many, and how many."""
    for kind in KINDS:
        number = kind.number(pool)
        if kind.is_usual and not (in_trouble and number >= pool["blocked"] * LIVE_SHARE):
            continue
        if number and number >= usable * SHARE:
            yield kind, number

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided of one key, and the decisions that are the same for all keys. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...module_utils._kernel import keys, sysctl
from ...module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS, TIMESTAMPS, TW_RECYCLE, TW_REUSE
from .._model import Setting
from .host import Host

Action = Literal["set", "keep", "release", "refuse", "unsupported"]

PURPOSES = {
    RESERVED_PORTS: "Ports that belong to services: no outgoing connection takes them.",
    PORT_RANGE: "Local ports for outgoing connections; this many for each destination.",
    TIMESTAMPS: "tcp_tw_reuse works for connections that have timestamps only.",
    TW_REUSE: "Whether an outgoing connection may reuse a port that is in TIME_WAIT.",
    TW_RECYCLE: "1 drops connections of clients behind NAT, 0 is safe.",
}


class Decision(NamedTuple):
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


def hidden(key: str) -> Decision:
    reason = f"Not visible in this network namespace: {keys.why_hidden(key)}. Set it on the host."
    return Decision(key, None, None, "unsupported", reason)


def left_alone(host: Host, key: str, current: str) -> Decision:
    return not_carried(host, key, current, "You chose to leave it alone.")


def not_carried(host: Host, key: str, current: str, reason: str) -> Decision:
    """What the drop-in does not carry stays as it is, or goes back to what it was where we have set it."""
    before = host.before[key]
    if before is None or sysctl.same(key, before, current):
        return Decision(key, current, None, "keep", reason)
    reason = f"{reason} It goes back to {before or 'empty'}, as it was before this collection set it."
    return Decision(key, current, None, "release", reason, before=before)


def fixed(key: str, current: str, wanted: str) -> Decision:
    return Decision(key, current, wanted, "keep" if current == wanted else "set", "You chose this value.")

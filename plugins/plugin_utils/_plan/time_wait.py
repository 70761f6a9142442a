# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of ports in TIME_WAIT: tcp_tw_reuse, the timestamps that it needs, and tcp_tw_recycle. Pure."""

from __future__ import annotations

from ...module_utils._kernel import features, keys
from ...module_utils._kernel.keys import TIMESTAMPS, TW_RECYCLE, TW_REUSE
from ...module_utils._kernel.time_wait import reuse_in_force
from .decision import Decision, fixed, hidden, left_alone
from .host import Host
from .policy import AUTO, LEAVE, Policy

# What no sysctl of this host tells.
_IF_THE_PEER = "if the peer has TCP timestamps"


def plan_timestamps(host: Host, wish: Policy) -> Decision:
    key, current = TIMESTAMPS, host.value("tcp_timestamps")
    if current is None:
        return hidden(key)
    if wish.tcp_timestamps == LEAVE:
        return left_alone(host, key, current)
    if wish.tcp_timestamps != AUTO:
        return fixed(key, current, wish.tcp_timestamps)
    own = host.own.get(key)
    # Where somebody has switched them off since, a rollback still goes back to what was before the first apply.
    before = own["before"] if own and current == "0" else host.before[key] or current
    wanted = "1" if before == "0" else before
    if wanted == current:
        return Decision(key, current, current, "keep", "tcp_tw_reuse needs timestamps, and they are on.")
    if current == "0":
        reason = "Without timestamps no port in TIME_WAIT can be reused, so they are switched on again."
        return Decision(key, current, wanted, "set", reason)
    return Decision(key, current, wanted, "set", "tcp_tw_reuse needs timestamps, and they are on with this value too.")


def plan_reuse(host: Host, wish: Policy, timestamps: Decision) -> Decision:
    key, current, wanted = TW_REUSE, host.value("tcp_tw_reuse"), wish.tcp_tw_reuse
    if current is None:
        return hidden(key)
    if wanted == LEAVE:
        return left_alone(host, key, current)
    if wanted != "0" and timestamps.result == "0":
        reason = "It does nothing while tcp_timestamps is 0; let tcp_timestamps be switched on."
        return Decision(key, current, current, "refuse", reason)
    if wanted == "2" and 2 not in host.kernel["tcp_tw_reuse"]["modes"]:
        reason = f"Linux {host.short_version} takes 2 for 1; loopback only came with 4.18. Choose 0 or 1."
        return Decision(key, current, current, "refuse", reason)
    if wanted != AUTO:
        return fixed(key, current, wanted)
    seconds = _seconds(host.kernel["reuse_delay"]["milliseconds"])
    free = f"A port is free again {seconds} after its connection was closed"
    if current == "1":
        return Decision(key, current, current, "keep", f"{free}, {_IF_THE_PEER}.")
    whole = _seconds(reuse_in_force(host.kernel, host.sysctls).lasts_ms())
    return Decision(key, current, "1", "set", f"{free}, not {whole}, {_IF_THE_PEER}.")


def plan_recycle(host: Host, wish: Policy) -> Decision:
    key, current, wanted = TW_RECYCLE, host.value("tcp_tw_recycle"), wish.tcp_tw_recycle
    if current is None:
        if host.version < features.RECYCLE_REMOVED:
            return hidden(key)
        removed = keys.ROWS[key].removed
        reason = f"Linux {host.short_version} does not have it (removed in {removed}); tcp_tw_reuse does the work."
        return Decision(key, None, None, "unsupported", reason)
    if wanted == "1" and "tcp_tw_recycle" not in wish.accept_risk:
        reason = "It drops connections of clients behind NAT; to insist, name tcp_tw_recycle in accept_risk."
        return Decision(key, current, None, "refuse", reason, before=host.before[key])
    if wanted != LEAVE:
        return fixed(key, current, wanted)
    before = host.before[key]
    if before != current:
        return left_alone(host, key, current)
    if current != "0":
        reason = "It is on and drops connections of clients behind NAT; choose 0 to switch it off."
    else:
        reason = "It is off, as it should be: it drops connections of clients behind NAT."
    return Decision(key, current, None, "keep", reason)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a plan: what becomes of the drop-in, what was refused, and whether it was kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ...module_utils._kernel import sysctl
from .._model import KeyResult, NamespaceKeyResult, Plan, Usage
from .policy import AUTO, LEAVE, OPTIONS, read_policy


def wanted_state(plan: Plan, usage: Usage, is_trial: bool) -> Literal["present", "absent"] | None:
    """What sysctl_dropin is to bring about: None where the plan sets nothing, and nothing is to be rolled back.

    On trial a file without settings is left, so that the whole can be rolled back by itself.
    """
    ours = usage["journal"]
    if plan["dropin"] or (ours and ours["applied"] and is_trial):
        return "present"
    return "absent" if ours and not is_trial else None


def refused_wishes(plan: Plan, policy: Mapping[str, Any]) -> list[str]:
    """What the plan refuses of what the user has chosen, in words; not what auto would have liked."""
    wish = read_policy(policy)
    chosen = {f"net.ipv4.{name}" for name in OPTIONS if getattr(wish, name) not in (AUTO, LEAVE)}
    refused = [one for one in plan["settings"] if one["action"] == "refuse" and one["key"] in chosen]
    return [f"{one['key'].removeprefix('net.ipv4.')}: {one['reason']}" for one in refused]


def broken_promises(plan: Plan, applied: Sequence[KeyResult] | Sequence[NamespaceKeyResult]) -> list[str]:
    """Planned values that were not applied, in words."""
    results = {one["key"]: one["after"] for one in applied}
    found = []
    for setting in plan["dropin"]:
        key, wanted = setting["key"], setting["wanted"] or ""
        after = results.get(key)
        if after is None or not sysctl.same(key, after, wanted):
            found.append(f"{key} is {after or 'not set'}, planned was {wanted or 'empty'}")
    return found

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same decision for other network namespaces of a host, each with ports and sysctls of its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._common.text import place_name
from ...module_utils._kernel.keys import PORT_RANGE
from ...module_utils._usage.places import places
from .._model import NamespaceApplyResult, NamespacePlan, Usage
from .lasting import lasting_way_of
from .outcome import broken_promises, refused_wishes
from .plan import make_plan
from .policy import PolicyError


def plan_elsewhere(usage: Usage, policy: Mapping[str, Any]) -> list[NamespacePlan]:
    """For every other network namespace that was observed. Raises PolicyError."""
    _check_all_are_there(usage)
    found: list[NamespacePlan] = []
    for one in places(usage)[1:]:
        namespace = one["namespace"]
        try:
            plan = make_plan(one, policy)
        except ValueError as error:
            raise PolicyError(f"{place_name(namespace)}: {error}") from error
        way = lasting_way_of(namespace, {setting["key"]: setting["wanted"] for setting in plan["dropin"]})
        found.append({"namespace": namespace, "plan": plan, "lasting_way": way})
    return found


def _check_all_are_there(usage: Usage) -> None:
    """None of those that are wanted may be passed over in silence."""
    for one in usage["not_observed"]:
        if one["what"] == "namespaces" and one["why"] == "not_allowed":
            raise PolicyError("namespaces: only root of the host may enter them; run this as root (become: true)")
    if usage["namespaces_observed"] > len(usage["namespaces"]):
        raise PolicyError(
            f"namespaces: {usage['namespaces_observed']} are more than {len(usage['namespaces'])}; name fewer"
        )
    for other in usage["namespaces"]:
        if other["sysctls"].get(PORT_RANGE) is None:
            raise PolicyError(f"namespaces: {place_name(other['namespace'])} does not show its port range")


def wishes(plans: Sequence[NamespacePlan]) -> list[dict[str, Any]]:
    """As namespace_sysctls takes them."""
    return [
        {
            "inode": one["namespace"]["inode"],
            "cookie": one["namespace"]["cookie"],
            "settings": {setting["key"]: setting["wanted"] for setting in one["plan"]["dropin"]},
        }
        for one in plans
    ]


def refused_elsewhere(plans: Sequence[NamespacePlan], policy: Mapping[str, Any]) -> list[str]:
    """As refused_wishes()."""
    named = [(place_name(one["namespace"]), refused_wishes(one["plan"], policy)) for one in plans]
    return [f"{name}: {words}" for name, refused in named for words in refused]


def broken_elsewhere(plans: Sequence[NamespacePlan], applied: NamespaceApplyResult) -> list[str]:
    """Planned values that were not applied, in words. One that has ended since has broken nothing."""
    results = {one["namespace"]["inode"]: one for one in applied["namespaces"]}
    found = []
    for one in plans:
        inode, name = one["namespace"]["inode"], place_name(one["namespace"])
        if inode not in results:
            found.append(f"{name} was passed over")
        elif results[inode]["status"] != "gone":
            found += [f"{name}: {words}" for words in broken_promises(one["plan"], results[inode]["settings"])]
    return found

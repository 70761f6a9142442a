# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network namespaces of a host as usages of their own."""

from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from ...plugin_utils._model import NamespaceUsage, Usage


def places(usage: "Usage") -> "List[Usage]":
    """A usage for each network namespace that was observed: first that of the module, then the others as returned."""
    if not usage["namespaces"] and usage["own_level"] == usage["level"]:
        return [usage]
    own: Usage = {**usage, "level": usage["own_level"], "namespaces": []}
    return [own, *(_with_host(one, own) for one in usage["namespaces"])]


def _with_host(other: "NamespaceUsage", own: "Usage") -> "Usage":
    """What all network namespaces of a host share is in that of the module alone."""
    return {**own, **other}


def worst_place(usage: "Usage") -> "Usage":
    """The first that is at the level of the host."""
    return next((one for one in places(usage) if one["level"] == usage["level"]), usage)

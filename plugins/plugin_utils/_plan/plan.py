# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision: what to set on a host, from its configuration and the user's policy. Pure: no I/O, no clock.

Nothing here depends on how loaded the host is, so that a second run after a first finds everything in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils._dropin.journal import DROPIN
from ...module_utils._kernel.keys import PORT_RANGE, RESERVED_PORTS
from ...module_utils._kernel.time_wait import reuse_in_force
from .._model import Plan, SustainableRate
from .decision import Decision
from .host import Host, read_usage
from .others import find_others
from .policy import read_policy
from .port_range import check_what_is_left, count, plan_range, reach, refuse_to_cover
from .reserved import plan_reserved
from .time_wait import plan_recycle, plan_reuse, plan_timestamps


def make_plan(usage: Mapping[str, Any], policy: Mapping[str, Any], dropin: str = DROPIN) -> Plan:
    """Decide on every key; the settings come in the order in which the drop-in lists them.

    dropin is the path of the file that is to carry them: what stands there is nobody else's decision. In the result,
    dropin are those of the settings that it carries. Raises PolicyError, or ValueError for a usage that is none.
    """
    host, wish = read_usage(usage, dropin), read_policy(policy)
    widened = plan_range(host, wish)
    found = find_others(host, wish, reach(host, widened))
    reserved = plan_reserved(host, wish, found)
    widened = refuse_to_cover(host, widened, reserved, found)
    check_what_is_left(host, wish, widened, reserved, found)
    timestamps = plan_timestamps(host, wish)
    reuse, recycle = plan_reuse(host, wish, timestamps), plan_recycle(host, wish)
    settings = [reserved, count(host, widened, reserved), timestamps, reuse, recycle]
    return {
        "kind": "plan",
        "settings": [setting.setting() for setting in settings],
        "dropin": [setting.setting() for setting in settings if setting.wanted is not None],
        "sustainable_rate": _sustainable_rate(host, settings),
    }


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
    return host.usable(sysctls[PORT_RANGE], sysctls[RESERVED_PORTS]), hold_ms / 1000

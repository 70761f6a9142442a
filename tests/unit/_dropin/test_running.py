# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of writes: safe after each single one, whatever the values before and after."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.running import order_writes
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import keys, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import (
    PortSet,
    parse_ports,
    parse_range,
    range_ports,
)

RANGE, RESERVED, START = keys.PORT_RANGE, keys.RESERVED_PORTS, keys.UNPRIVILEGED_PORT_START
REUSE = "net.ipv4.tcp_tw_reuse"

Values = dict[str, str]

# Few ports, so that everything overlaps with everything.
PORT = st.integers(1, 12)


@st.composite
def values(draw: st.DrawFn) -> Values:
    """Settings that a kernel can have: the range begins at or above the first unprivileged port."""
    start, low, high = sorted(draw(st.tuples(PORT, PORT, PORT)))
    keys = draw(st.permutations([RANGE, RESERVED, START, REUSE]))
    reserved = PortSet.of(draw(st.sets(PORT)))
    found = {RANGE: f"{low}\t{high}", RESERVED: str(reserved), START: str(start), REUSE: draw(st.sampled_from("012"))}
    return {key: found[key] for key in keys}


def states(now: Values, target: Values) -> list[Values]:
    found = [dict(now)]
    for key, value in order_writes(now, target):
        found.append({**found[-1], key: value})
    return found


def reserved(state: Values) -> PortSet:
    return parse_ports(state[RESERVED])


def covered(state: Values) -> PortSet:
    return range_ports(parse_range(state[RANGE]))


@given(values(), values())
def test_they_lead_to_the_target_and_no_further(now: Values, target: Values) -> None:
    assert all(sysctl.same(key, states(now, target)[-1][key], value) for key, value in target.items())
    assert order_writes(target, target) == []


@given(values(), values())
def test_what_stays_reserved_is_reserved_throughout(now: Values, target: Values) -> None:
    kept = reserved(now) & reserved(target)
    assert all(not kept - reserved(state) for state in states(now, target))


@given(values(), values())
def test_range_reaches_a_port_to_be_reserved_only_once_it_is(now: Values, target: Values) -> None:
    for state in states(now, target):
        assert not (reserved(target) & covered(state)) - reserved(state) - covered(now)


@given(values(), values())
def test_range_leaves_a_port_before_it_is_released(now: Values, target: Values) -> None:
    for state in states(now, target):
        assert not (reserved(now) & covered(state)) - reserved(state) - covered(target)


@given(values(), values())
def test_kernel_never_has_a_reason_to_refuse(now: Values, target: Values) -> None:
    assert all(parse_range(state[RANGE]).low >= int(state[START]) for state in states(now, target))


@given(values(), values(), st.integers(0, 5))
def test_undoing_from_anywhere_on_the_way_is_as_safe(now: Values, target: Values, number: int) -> None:
    middle = states(now, target)[: number + 1][-1]
    for state in states(middle, now):
        assert parse_range(state[RANGE]).low >= int(state[START])
        assert not (reserved(now) & reserved(middle)) - reserved(state)

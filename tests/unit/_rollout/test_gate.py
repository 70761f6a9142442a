# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of a rollout: what fails, what passes, and what cannot be known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _border
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Gate
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.gate import (
    Limits,
    Usages,
    Window,
    allowed,
    judge,
    read_limits,
)

from ..recorded import release, sysctls

Result = dict[str, Any]

RANGE, REUSE = keys.PORT_RANGE, keys.TW_REUSE
KERNEL = "6.12.107"
COUNTED = {
    "failed-connects": "AttemptFails",
    "syn-retransmissions": "TCPSynRetrans",
    "paws-drops": "PAWSEstab",
}


def usage_at(at: float, *, tcp: Any = (22, 443), udp: Any = (53,), reuse: str = "1", **different: Any) -> Any:
    """The usage `at` seconds after boot, of a host that opens 100 connections per second."""
    counters = dict.fromkeys(("AttemptFails", "TCPSynRetrans", "TWRecycled", "PAWSActive", "PAWSEstab"), 0)
    counters["ActiveOpens"] = int(at * 100)
    values = {**sysctls(KERNEL), RANGE: "10240 65535", REUSE: reuse}
    return {
        "uptime": at,
        "counters": {**counters, **different.pop("counters", {})},
        "kernel": features.describe(release(KERNEL), values),
        "sysctls": values,
        "listening_ports": {"tcp": list(tcp), "udp": list(udp), "udp_clients": []},
        "claims": [],
        "reserved_in_files": "",
        "port_range": {"usable": 500},
        "pools": [],
        "findings": [],
        "level": "ok",
        "probe": "not_needed",
        **different,
    }


def destination(**different: Any) -> Result:
    return {
        "kind": "connect",
        "address": "192.0.2.10",
        "port": 8080,
        "reusable": 400,
        "hold_seconds": 1.0,
        "time_wait_seconds": 60.0,
        "longest_left_seconds": 59.0,
        "rate": {"last_1s": 50.0},
        **different,
    }


def setting(**different: Any) -> Result:
    file = "/etc/sysctl.d/99-zz-ephemeral-ports.conf"
    boot = {"boot_value": "1", "boot_file": file, "boot_line": 3}
    return {"key": REUSE, "wanted": "1", "status": "changed", **boot, **different}


def gate(after: Any, first: Any = None, before: Any = None, applied: Any = None, **limits: Any) -> Gate:
    applied = {"settings": [setting()]} if applied is None else applied
    return judge(Usages(first or usage_at(1000), before or usage_at(1030), after), applied, Limits(**limits))


def status(gate: Gate, check: str) -> str:
    (found,) = [one["status"] for one in gate["checks"] if one["id"] == check]
    return found


def message(gate: Gate, check: str) -> str:
    (found,) = [one["message"] for one in gate["checks"] if one["id"] == check]
    return found


def test_a_host_that_is_as_before_passes() -> None:
    judged = gate(usage_at(1090, counters={"TWRecycled": 40}))
    assert judged["passed"]
    assert [(one["id"], one["status"]) for one in judged["checks"]] == [
        ("no-reboot", "passed"),
        ("values-in-force", "passed"),
        ("boot-values", "passed"),
        ("listeners-kept", "passed"),
        ("failed-connects", "passed"),
        ("syn-retransmissions", "passed"),
        ("paws-drops", "passed"),
        ("reuse-works", "passed"),
        ("usable-ports", "passed"),
        ("connects-possible", "passed"),
    ]


def test_a_host_that_was_restarted_fails() -> None:
    judged = gate(usage_at(20))
    assert status(judged, "no-reboot") == "failed"
    assert not judged["passed"]


def test_a_value_that_something_set_again_fails() -> None:
    judged = gate(usage_at(1090, reuse="2"))
    assert not judged["passed"]
    assert message(judged, "values-in-force") == (
        "Values were overwritten after the change: net.ipv4.tcp_tw_reuse is 2, not 1."
    )


@pytest.mark.parametrize(
    ("key", "wanted", "expected"),
    [
        ("net.ipv4.ip_local_port_range", "10240\t65535", "passed"),
        ("net.core.somaxconn", "4096", "unknown"),
        ("net.ipv4.tcp_tw_recycle", "0", "unknown"),
    ],
)
def test_values_are_compared_by_what_they_mean_where_they_can_be_read(key: str, wanted: str, expected: str) -> None:
    judged = gate(usage_at(1090), applied={"settings": [setting(key=key, wanted=wanted)]})
    assert status(judged, "values-in-force") == expected


@pytest.mark.parametrize(
    ("boot", "allowed", "expected"),
    [("1", False, "passed"), ("2", False, "failed"), ("2", True, "unknown"), (None, False, "unknown")],
)
def test_values_of_the_next_boot(boot: str | None, allowed: bool, expected: str) -> None:
    applied = {"settings": [setting(boot_value=boot, boot_file="/etc/sysctl.d/99-zzz.conf")]}
    judged = gate(usage_at(1090), applied=applied, conflicts_allowed=allowed)
    assert status(judged, "boot-values") == expected
    assert judged["passed"] is (expected != "failed")


@pytest.mark.parametrize(
    ("first", "before", "after", "expected"),
    [
        ({"tcp": (22, 80)}, {"tcp": (22, 80)}, {"tcp": (22,)}, "failed"),
        ({"tcp": (22, 80)}, {"tcp": (22,)}, {"tcp": (22,)}, "passed"),
        ({"tcp": (22,)}, {"tcp": (22, 80)}, {"tcp": (22,)}, "passed"),
        ({"tcp": (22, 9000)}, {"tcp": (22, 9000)}, {"tcp": (22,)}, "passed"),
        ({"udp": (53,)}, {"udp": (53,)}, {"udp": ()}, "failed"),
        ({"udp": (53, 41000)}, {"udp": (53, 41000)}, {"udp": (53,)}, "passed"),
        ({"tcp": (22, 41000)}, {"tcp": (22, 41000)}, {"tcp": (22,)}, "failed"),
        ({"tcp": ()}, {"tcp": ()}, {"tcp": (80,)}, "passed"),
    ],
)
def test_services_that_were_steady_must_stay(first: Any, before: Any, after: Any, expected: str) -> None:
    """9000 is one that comes and goes; UDP ports in the range are clients'."""
    judged = gate(
        usage_at(1090, **after), usage_at(1000, **first), usage_at(1030, **before), ignored=PortSet.of([9000])
    )
    assert status(judged, "listeners-kept") == expected


@pytest.mark.parametrize("check", COUNTED)
def test_growth_against_the_own_share(check: str) -> None:
    """Before: 30 s, 3000 opened, 30 failed. After: 60 s, 6000 opened, so 60 are as before and 120 are twice that."""
    name = COUNTED[check]

    def judged(failures: int, **limits: Any) -> str:
        before, after = usage_at(1030, counters={name: 30}), usage_at(1090, counters={name: 30 + failures})
        return status(gate(after, None, before, **limits), check)

    assert judged(60) == judged(120) == "passed"
    assert judged(200) == "failed"
    assert judged(200, growth=4) == "passed"


def test_a_short_time_before_the_change_allows_more() -> None:
    """None of 100 failed: that is no proof that none of 1000 would. None of 10000 nearly is."""
    short, long = (allowed(Window(1.0, opened, 0), 1000, Limits(floor=0)) for opened in (100, 10000))
    assert (short, long) == (30, 0)


def test_a_host_that_simply_opens_more_connections_does_not_fail() -> None:
    """Before, ports had run out: 8 connections per second. Now there are 100, of which the same share fails."""
    first, before = (
        usage_at(at, counters={"ActiveOpens": int(at * 8), "AttemptFails": int(at)}) for at in (1000, 1030)
    )
    after = usage_at(1090, counters={"ActiveOpens": 1030 * 8 + 6000, "AttemptFails": 1030 + 750})
    assert status(gate(after, first, before), "failed-connects") == "passed"


@pytest.mark.parametrize(
    ("first", "before", "after"),
    [
        ({"counters": {"ActiveOpens": 100}}, {"counters": {"ActiveOpens": 119}}, {"counters": {"ActiveOpens": 9999}}),
        ({}, {}, {"counters": {"ActiveOpens": 103019}}),
        ({}, {}, {"counters": {"ActiveOpens": 10}}),
        ({}, {"counters": {"AttemptFails": 50}}, {}),
    ],
)
def test_too_little_is_known(first: Any, before: Any, after: Any) -> None:
    """Few connections before or since, or counters that began anew."""
    judged = gate(usage_at(1090, **after), usage_at(1000, **first), usage_at(1030, **before))
    assert status(judged, "failed-connects") == "unknown"
    assert judged["passed"]


def test_a_kernel_without_the_counter() -> None:
    usages = [usage_at(at) for at in (1000, 1030, 1090)]
    for one in usages:
        del one["counters"]["TCPSynRetrans"]
    assert status(gate(usages[2], usages[0], usages[1]), "syn-retransmissions") == "unknown"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"counters": {"TWRecycled": 1}}, "passed"),
        ({}, "unknown"),
        ({"pools": [destination()]}, "failed"),
        ({"pools": [destination(reusable=249)]}, "unknown"),
        ({"pools": [destination(rate={"last_1s": 0.1})]}, "unknown"),
        ({"pools": [destination(hold_seconds=60.0)]}, "unknown"),
        ({"pools": [destination()], "reuse": "0"}, "unknown"),
        ({"pools": [destination()], "counters": {"TWRecycled": 7}}, "passed"),
    ],
)
def test_ports_are_reused_where_some_must_be_met(after: Any, expected: str) -> None:
    assert status(gate(usage_at(1090, **after), applied={"settings": []}), "reuse-works") == expected


def test_ports_of_clients_that_bind_are_not_expected_to_be_reused() -> None:
    stuck = usage_at(1090, pools=[destination()])
    binds = usage_at(1000, findings=[{"id": "bind-before-connect"}])
    assert status(gate(stuck), "reuse-works") == "failed"
    assert status(gate(stuck, first=binds), "reuse-works") == "unknown"
    applied: Any = {"settings": [setting()]}
    usages = Usages(usage_at(1000), usage_at(1030), stuck)
    not_curable = judge(usages, applied, Limits(), not_curable="Clients bind().")
    assert status(not_curable, "reuse-works") == "unknown"


def test_reuse_that_was_seen_to_fail() -> None:
    """With all ports in TIME_WAIT no connection is closed any more, which the rate would show."""
    fails = {"id": "reuse-fails", "summary": "None of them is reused.", "destination": "192.0.2.10:443"}
    stuck = usage_at(1090, findings=[fails], pools=[destination(hold_seconds=60.0, reusable=0, rate={"last_1s": 0.0})])
    judged = gate(stuck)
    assert status(judged, "reuse-works") == "failed"
    assert "None of them is reused." in [check["message"] for check in judged["checks"]]


@pytest.mark.parametrize(
    ("after", "not_curable", "expected"),
    [
        ({"level": "ok"}, None, "passed"),
        ({"level": "critical", "pools": [destination()]}, None, "passed"),
        ({"level": "unknown", "pools": [destination()]}, None, "unknown"),
        ({"level": "exhausted", "pools": [destination()]}, None, "failed"),
        ({"level": "exhausted"}, None, "failed"),
        ({"level": "exhausted", "pools": [destination()]}, "Clients bind().", "unknown"),
    ],
)
def test_connections_have_to_be_possible_afterwards(after: Any, not_curable: str | None, expected: str) -> None:
    before = usage_at(1030, level="exhausted")
    usages = Usages(usage_at(1000), before, usage_at(1090, **after))
    assert status(judge(usages, None, Limits(), not_curable), "connects-possible") == expected


def with_ports(at: float, port_range: str, reserved: str = "", **different: Any) -> Any:
    usage = usage_at(at, **different)
    return {**usage, "sysctls": {**usage["sysctls"], RANGE: port_range, keys.RESERVED_PORTS: reserved}}


@pytest.mark.parametrize(
    ("before", "after", "more", "limits", "expected"),
    [
        (("32768 60999",), ("10240 65535", "30000-32767"), {}, {}, "passed"),
        (("10240 65535",), ("10240 65535", "8080,30000"), {}, {}, "failed"),
        (("10240 65535",), ("10240 65535", "30000"), {"tcp": (30000,)}, {}, "passed"),
        (("10240 65535",), ("10240 65535", "30000"), {"reserved_in_files": "30000"}, {}, "passed"),
        (("10240 65535",), ("10240 65535", "30000-30010"),
         {"claims": [{"by": "docker", "ports": "30000-30009", "where": ""}]}, {}, "failed"),
        (("10240 65535",), ("10240 65535", "30000"), {}, {"fewer_ports_allowed": True}, "unknown"),
        (("10240 65535",), ("10240 65535", "10240-65535"), {}, {"fewer_ports_allowed": True}, "failed"),
        (("32768 60999",), ("10240 65535", "10240-65535"), {}, {}, "failed"),
        (("10240 65535",), ("32768 60999",), {}, {}, "failed"),
        (("32768 60999", "40000"), ("32768 60999", ""), {}, {}, "passed"),
    ],
)  # fmt: skip
def test_usable_ports_do_not_shrink(
    before: tuple[str, ...], after: tuple[str, ...], more: dict[str, Any], limits: dict[str, Any], expected: str
) -> None:
    judged = gate(with_ports(1090, *after, **more), before=with_ports(1030, *before, **more), **limits)
    assert status(judged, "usable-ports") == expected


def test_a_level_that_becomes_exhausted_fails_whatever_was_curable() -> None:
    after = usage_at(1090, level="exhausted")
    for before, not_curable, expected in (
        ("ok", "It binds.", "failed"),
        ("critical", None, "failed"),
        ("exhausted", "It binds.", "unknown"),
        ("exhausted", None, "failed"),
    ):
        usages = Usages(usage_at(1000), usage_at(1030, level=before), after)
        assert status(judge(usages, None, Limits(), not_curable), "connects-possible") == expected


def test_udp_sockets_that_are_taken_for_clients_now_are_not_gone() -> None:
    udp = {"tcp": [22, 443], "udp": [], "udp_clients": [53]}
    assert status(gate(usage_at(1090, listening_ports=udp)), "listeners-kept") == "passed"


def test_sockets_that_were_not_read() -> None:
    judged = gate(usage_at(1090, listening_ports=None))
    assert status(judged, "listeners-kept") == "unknown"
    assert judged["passed"]


def test_a_host_on_which_nothing_was_set() -> None:
    judged = judge(Usages(usage_at(1000), usage_at(1030), usage_at(1090)), None, Limits())
    assert (status(judged, "values-in-force"), status(judged, "boot-values")) == ("unknown", "unknown")


def test_long_values_do_not_make_a_gate_that_the_border_refuses() -> None:
    ports = ",".join(map(str, range(10001, 40000, 2)))
    key = "net.ipv4.ip_local_reserved_ports"
    after = usage_at(1090)
    after["sysctls"][key] = ports
    judged = gate(after, applied={"settings": [setting(key=key, wanted=f"{ports},40001", boot_value=ports)]})
    assert not judged["passed"]
    assert _border.parse(Gate, judged) == judged


COUNTS = st.integers(0, 10**6)


@given(then=COUNTS, opened_then=st.integers(20, 10**6), now=COUNTS, opened=st.integers(0, 10**6))
def test_the_limit_is_never_below_the_own_share_nor_the_floor(
    then: int, opened_then: int, now: int, opened: int
) -> None:
    limit = allowed(Window(30.0, opened_then, then), opened, Limits())
    assert limit >= Limits.floor
    assert limit + 1 >= then * opened / opened_then
    assert limit <= allowed(Window(30.0, opened_then, then), opened + now, Limits())
    assert limit <= allowed(Window(30.0, opened_then, then + now), opened, Limits())


@given(count=st.integers(0, 10**5), opened=st.integers(20, 10**6), factor=st.integers(1, 50))
def test_the_same_share_of_more_connections_never_fails(count: int, opened: int, factor: int) -> None:
    assert count * factor <= allowed(Window(30.0, opened, count), opened * factor, Limits(growth=1, floor=0))


@given(opened=st.integers(1000, 10**6), growth=st.floats(1, 8))
def test_a_share_far_beyond_the_limit_always_fails(opened: int, growth: float) -> None:
    """One in ten before, all of them after: no allowance for chance covers that."""
    assert opened > allowed(Window(30.0, opened, opened // 10), opened, Limits(growth=growth))


@given(
    counted=st.lists(
        st.fixed_dictionaries(dict.fromkeys(("ActiveOpens", *COUNTED.values(), "TWRecycled"), COUNTS)),
        min_size=3,
        max_size=3,
    ),
    times=st.lists(st.floats(0, 10**6), min_size=3, max_size=3),
)
def test_whatever_was_counted_there_is_a_verdict(counted: list[dict[str, int]], times: list[float]) -> None:
    first, before, after = (
        {**usage_at(0, counters=counts), "uptime": at} for at, counts in zip(times, counted, strict=True)
    )
    judged = gate(after, first, before)
    assert len(judged["checks"]) == 10
    assert judged["passed"] is all(one["status"] != "failed" for one in judged["checks"])


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"growth": 0.9}, "growth must be a number of 1 or more, not 0.9"),
        ({"growth": True}, "growth must be a number"),
        ({"growth": "nan"}, "growth must be a number"),
        ({"floor": -1}, "floor must be a number of 0 or more"),
        ({"floor": 1.5}, "floor must be a whole number, not 1.5"),
        ({"ignore_listeners": "80"}, "ignore_listeners must be a list of ports"),
        ({"ignore_listeners": [True]}, "ignore_listeners must be a list of ports"),
        ({"ignore_listeners": ["80-70"]}, "ignore_listeners: "),
        ({"ignore_listeners": [0]}, "ignore_listeners: port 0 is outside 1 to 65535"),
        ({"florr": 1}, "there is no option florr"),
        ({"soak": "1m"}, "soak must be a number of 0 or more, not '1m'"),
        ({"baseline": -1}, "baseline must be a number of 0 or more"),
    ],
)
def test_bad_limits_are_named(limits: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_limits(limits)


def test_what_on_conflict_says_of_boot_values() -> None:
    assert [read_limits(given).conflicts_allowed for given in ({}, {"on_conflict": "fail"})] == [False, False]
    assert [read_limits({"on_conflict": word}).conflicts_allowed for word in ("warn", "ignore")] == [True, True]

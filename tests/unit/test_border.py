# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _border
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import NotUnderstoodError, parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import LoadResult, Plan, Usage, Users

USAGES = [*RECORDED["usage"].values(), *RECORDED["kernels"].values(), RECORDED["remediated"]["usage_after"]]
CRITICAL: dict[str, Any] = RECORDED["usage"]["critical"]

ODD = [None, True, -1, 2**70, 1e308, float("nan"), float("inf"), "", "\x1b[2J", [], [[]], {}, {"a": {}}, [None]]


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The way to every value in a result."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value[:2]):
            yield from places(one, (*path, number))


def planted(result: dict[str, Any], path: tuple[Any, ...], odd: object) -> Any:
    changed = copy.deepcopy(result)
    if not path:
        return odd
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = odd
    return changed


def parsed(value: object) -> Usage | None:
    try:
        return parse(Usage, value)
    except NotUnderstoodError:
        return None


@pytest.mark.parametrize("usage", USAGES)
def test_what_hosts_returned_passes_unchanged(usage: dict[str, Any]) -> None:
    assert parse(Usage, usage) == usage


def test_plan_and_load_pass_unchanged() -> None:
    remediated = RECORDED["remediated"]
    assert parse(Plan, remediated["plan"]) == remediated["plan"]
    assert [parse(LoadResult, one) for one in remediated["stress"]] == remediated["stress"]


def test_what_hosts_have_in_common_is_kept_once() -> None:
    one, other = (parse(Usage, copy.deepcopy(CRITICAL)) for _host in range(2))
    assert one["kernel"] is other["kernel"]
    assert one["sysctls"] is other["sysctls"]
    assert one["pools"][0] is not other["pools"][0]
    different = planted(CRITICAL, ("kernel", "release"), "6.1")
    assert parse(Usage, different)["kernel"]["release"] == "6.1"


def test_what_is_equal_but_of_another_type_is_not_taken_for_the_same() -> None:
    parse(Usage, CRITICAL)
    low = CRITICAL["port_range"]["low"]
    with pytest.raises(NotUnderstoodError, match=r"port_range\.low: expected a whole number"):
        parse(Usage, planted(CRITICAL, ("port_range", "low"), float(low)))
    assert parsed(planted(CRITICAL, ("kernel", "two_pass_port_search", "supported"), 1)) is None


def test_users_pass_unchanged_and_bounded() -> None:
    users = RECORDED["users"]
    assert parse(Users, users) == users
    assert parse(Users, {**users, "skipped": True}) == users
    with pytest.raises(NotUnderstoodError, match="users: 1001 items are more than 1000"):
        parse(Users, {**users, "users": users["users"] * 1001})


def test_what_is_not_named_does_not_pass() -> None:
    hostile = {**CRITICAL, "ansible_facts": {"timewait_remediate_template": "/etc/passwd"}, "skipped": True}
    assert parse(Usage, hostile) == CRITICAL


def test_the_controller_says_what_kind_it_is() -> None:
    assert parse(Usage, {**CRITICAL, "kind": "apply"})["kind"] == "usage"
    assert parse(Usage, {name: value for name, value in CRITICAL.items() if name != "kind"}) == CRITICAL


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_anywhere_are_refused_or_kept_in_type(odd: object) -> None:
    """What passes can be written as JSON, and read again as the same."""
    for path in places(CRITICAL):
        passed = parsed(planted(CRITICAL, path, odd))
        if passed is not None:
            assert json.loads(json.dumps(passed, allow_nan=False)) == passed
            assert parse(Usage, passed) == passed
            assert not any(ord(character) < 32 and character not in "\t\n" for character in str(passed))


@pytest.mark.parametrize(
    ("path", "odd", "message"),
    [
        (("level",), "fine", "level: expected one of exhausted, critical, warning, ok, unknown, got 'fine'"),
        (("pools", 0, "port"), "80", "pools.port: expected a whole number, got '80'"),
        (("pools", 0, "saturation"), float("nan"), "pools.saturation: the number is out of all bounds"),
        (("pools",), [CRITICAL["pools"][0]] * 1001, "pools: 1001 items are more than 1000"),
        (("kernel", "release"), "x" * 8193, "kernel.release: 8193 characters are more than 8192"),
        (("findings", 0, "evidence"), {"a": {"b": {"c": {"d": {}}}}}, "findings.evidence: it is too deep"),
        (("counters", "TW"), 2**64, "counters: the number is out of all bounds"),
    ],
)
def test_the_error_names_place_and_value(path: tuple[object, ...], odd: object, message: str) -> None:
    with pytest.raises(NotUnderstoodError) as raised:
        parse(Usage, planted(CRITICAL, path, odd))
    assert str(raised.value) == message


def test_missing_fields_are_named() -> None:
    with pytest.raises(NotUnderstoodError, match="namespace is missing"):
        parse(Usage, {"changed": False, "skipped": True})
    with pytest.raises(NotUnderstoodError, match="expected a dictionary, got list"):
        parse(Usage, [])


@given(st.text(max_size=60))
def test_clean_text_does_not_steer(text: str) -> None:
    cleaned = _border.clean(text)
    assert not set(cleaned) & {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066]}
    assert _border.clean(cleaned) == cleaned


def test_long_text_loses_its_middle() -> None:
    assert _border.clean("a" * 50 + "b" * 50, 25) == f"{'a' * 10} ... {'b' * 10}"


def test_size_is_bounded_and_depth_costs_nothing() -> None:
    deep: list[Any] = []
    for _turn in range(100_000):
        deep = [deep]
    assert _border.weigh({"a": deep}) < 100_010
    for huge in ({"a": "x" * _border.IN_ALL}, [["x"] * 1000] * 2200):
        with pytest.raises(NotUnderstoodError, match="the result is larger than 4000000 characters and items"):
            _border.weigh(huge)


@pytest.mark.parametrize(
    ("facts", "ours"),
    [
        ({"timewait_remediate_template": 1, "os_family": "Debian"}, ["timewait_remediate_template"]),
        ({"__timewait_remediate_trial": 1}, ["__timewait_remediate_trial"]),
        ({"ephemeral_ports_waves": 1}, ["ephemeral_ports_waves"]),
        ({"distribution": "Debian", 7: 8}, []),
        (None, []),
        (["timewait_remediate_template"], []),
    ],
)
def test_facts_that_name_variables_of_ours(facts: object, ours: list[str]) -> None:
    assert _border.facts_of_ours(facts) == ours


@pytest.mark.parametrize(
    ("path", "passes"),
    [("/usr/bin/python3.11", True), ("/opt/a b/python", False), ("python3", False), ("/x\n/y", False), (7, False)],
)
def test_interpreter(path: object, passes: bool) -> None:
    assert _border.interpreter(path) == (path if passes else None)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules and filters say of their results in RETURN is what _model says: the same names, nested the same way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _model

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MODULES = sorted({path.stem for path in PLUGINS.glob("modules/[!_]*.py")})
RESULTS: dict[str, tuple[type, ...]] = {
    "curl_stress": (_model.LoadResult,),
    "diagnosis": (_model.Diagnosis,),
    "monitor_command": (_model.InstalledCommand,),
    "namespace_sysctls": (_model.NamespaceApplyResult,),
    "port_usage_info": (_model.Usage,),
    "port_users_info": (_model.Users,),
    "remediation": (_model.Remediation,),
    "rollout_host": (_model.StepResult, _model.WaveSizes, _model.WaveVerdict),
    "sysctl_dropin": (_model.ApplyResult,),
}
# They have a page of their own, to which the others refer.
TOLD_ELSEWHERE = (_model.Usage, _model.Users, _model.Plan, _model.ApplyResult, _model.NamespaceApplyResult)
# Of every module, as Ansible's documentation says.
COMMON = {"changed"}
NAMES = {str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict"}


def returns(path: Path) -> dict[str, Any]:
    assignments = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign))
    (text,) = (node.value.value for node in assignments if getattr(node.targets[0], "id", "") == "RETURN")
    return dict(yaml.safe_load(text))


def fields(kind: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in COMMON}


def plain(hint: Any) -> Any:
    """Without None and bounds."""
    if get_origin(hint) is Annotated:
        return plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        (some,) = (one for one in get_args(hint) if one is not NoneType)
        return plain(some)
    return hint


def name_of(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "str"
    return "dict" if is_typeddict(hint) else NAMES[get_origin(hint) or hint]


def differences(place: str, documented: dict[str, Any], *kinds: type, sampled: bool = False) -> Iterator[str]:
    """Where RETURN or contains differ from the type."""
    wanted = {name: hint for kind in kinds for name, hint in fields(kind).items()}
    names = " or ".join(kind.__name__ for kind in kinds)
    yield from (f"{place}.{name} is not documented" for name in wanted.keys() - documented.keys())
    yield from (f"{place}.{name} is not in {names}" for name in documented.keys() - wanted.keys())
    for name in wanted.keys() & documented.keys():
        yield from of_a_field(f"{place}.{name}", documented[name], plain(wanted[name]), sampled)


def of_a_field(place: str, documented: dict[str, Any], hint: Any, sampled: bool = False) -> Iterator[str]:
    """sampled: a sample of what it is part of shows its fields."""
    if documented["type"] != name_of(hint):
        yield f"{place} is a {name_of(hint)}"
    element = plain(get_args(hint)[0]) if get_origin(hint) is list else hint
    if get_origin(hint) is list and documented.get("elements") != name_of(element):
        yield f"{place} has elements of {name_of(element)}"
    sampled = sampled or "sample" in documented
    if is_typeddict(element) and element not in TOLD_ELSEWHERE and not sampled and "contains" not in documented:
        yield f"{place} says nothing of its fields"
    if "contains" in documented:
        yield from differences(place, documented["contains"], element, sampled=sampled)
    if documented.get("sample") is not None:
        yield from of_a_sample(place, documented["sample"], hint)


def of_a_sample(place: str, sample: Any, hint: Any) -> Iterator[str]:
    hint = plain(hint)
    if sample is None:
        return
    if get_origin(hint) is list:
        for one in sample:
            yield from of_a_sample(place, one, get_args(hint)[0])
    elif is_typeddict(hint):
        wrong = sample.keys() - COMMON ^ fields(hint).keys()
        if hint in TOLD_ELSEWHERE:
            wrong &= sample.keys()
        if wrong:
            yield f"{place}: its sample differs in {sorted(wrong)}"
        for name in sample.keys() & fields(hint).keys():
            yield from of_a_sample(f"{place}.{name}", sample[name], fields(hint)[name])
    elif get_origin(hint) is Literal and sample not in get_args(hint):
        yield f"{place}: its sample {sample} is none of {', '.join(get_args(hint))}"


@pytest.mark.parametrize("module", MODULES)
def test_return_of_a_module(module: str) -> None:
    assert sorted(differences(module, returns(PLUGINS / f"modules/{module}.py"), *RESULTS[module])) == []


def test_return_of_the_plan() -> None:
    value = returns(PLUGINS / "filter/remediation_plan.py")["_value"]
    assert sorted(of_a_field("remediation_plan", value, _model.Plan)) == []


def test_differences_are_found() -> None:
    documented = returns(PLUGINS / "modules/port_usage_info.py")
    del documented["uptime"], documented["pools"]["contains"]["usable"], documented["findings"]["sample"][0]["id"]
    documented["blocked"] = documented["blocked_at_most"]
    documented["method"] = {"type": "int", "sample": "guess"}
    assert sorted(differences("usage", documented, _model.Usage)) == [
        "usage.blocked is not in Usage",
        "usage.findings: its sample differs in ['id']",
        "usage.method is a str",
        "usage.method: its sample guess is none of netlink, procfs, sockstat",
        "usage.pools.usable is not documented",
        "usage.uptime is not documented",
    ]

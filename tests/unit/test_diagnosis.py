# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action diagnosis asks, says and fails at; what a host answers is recorded."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import template
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.netops.ephemeral_ports.plugins.action import diagnosis as action
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.words import HOST_OF_COMMAND
from ansible_collections.netops.ephemeral_ports.plugins.modules import diagnosis
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _host_action, _model
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._host_action import Answer

from .documented import options_of

RECORDED = json.loads((Path(__file__).parents[1] / "simulation" / "recorded_results.json").read_text())
USAGE = next(iter(RECORDED["usage"].values()))
USERS: dict[str, Any] = {
    "kind": "users", "traced": True, "why_not": None, "seconds": 5.0, "complete": True, "lost": 0, "connects": 9,
    "no_port": 0, "users_found": 0, "users": [],
}  # fmt: skip


class Diagnosis(action.ActionModule):
    """Without a host: it answers what was recorded."""

    def __init__(self, said: list[str], answers: dict[str, Any], **arguments: Any) -> None:
        self._task = SimpleNamespace(args=arguments, async_val=0, no_log=False, check_mode=False)
        self.said, self.answers, self.asked = said, answers, []

    def call(self, module: str, arguments: Any, kind: Any, task_vars: Any) -> Any:
        del task_vars
        self.asked.append((module, arguments))
        answer = self.answers[module]
        return answer if isinstance(answer, Answer) else Answer(parse(kind, answer), None, {"warnings": [module]})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(action.HostAction, "run", lambda *_arguments: {}, raising=False)
    monkeypatch.setattr(_host_action, "say", lambda host, told: lines.extend([host, *told]))
    return lines


def run(said: list[str], level: str = "ok", users: Any = None, **arguments: Any) -> tuple[dict[str, Any], Diagnosis]:
    usage = {**USAGE, "level": level}
    doing = Diagnosis(said, {"port_usage_info": usage, "port_users_info": users or USERS}, **arguments)
    return doing.run(None, {"inventory_hostname": "web"}), doing


def test_one_task_observes_and_says(said: list[str]) -> None:
    result, doing = run(said, observe={"detail": "full", "destination": None})
    assert doing.asked == [("port_usage_info", {"detail": "full"})]
    assert said == ["web", *result["lines"]]
    assert (result["level"], result["users"], "failed" in result) == ("ok", None, False)
    assert parse(_model.Diagnosis, result)["usage"]["level"] == "ok"


def test_the_command_that_it_proposes_is_for_this_host(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the terminal alone: what is kept does not tell where the inventory is."""
    monkeypatch.setattr(action, "describe", lambda _usage: ["Next:", f"  {HOST_OF_COMMAND}"])
    monkeypatch.setattr(action.context, "CLIARGS", {"inventory": ("hosts.yml",)})
    result, _doing = run(said)
    assert said == ["web", "Next:", "  -i hosts.yml -l web"]
    assert result["lines"][-1] == f"  {HOST_OF_COMMAND}"


def test_options_are_taken_from_variables(said: list[str]) -> None:
    doing = Diagnosis(
        said,
        {"port_usage_info": USAGE, "port_users_info": USERS},
        observe={"method": "procfs"},
        variables={
            "observe": {"max_pools": "most", "destination": "nowhere", "probe": "none", "detail": "left"},
            "who": "seconds",
        },
    )
    # Before ansible-core 2.19 it is a variable.
    omit = {} if hasattr(template, "trust_as_template") else {"omit": "__omit_place_holder__1"}
    doing._templar = Templar(loader=DataLoader(), variables={"five": 5, **omit})
    variables = {
        "inventory_hostname": "web",
        "most": 3,
        "none": None,
        "left": trusted("{{ omit }}"),
        "seconds": trusted("{{ five }}"),
        "five": 5,
        **omit,
    }
    doing.run(None, variables)
    assert [asked[0] for asked in doing.asked] == ["port_usage_info", "port_users_info"]
    assert doing.asked[0][1] == {"max_pools": 3}
    assert doing.asked[1][1]["seconds"] == 5.0


def test_variables_have_names(said: list[str]) -> None:
    with pytest.raises(AnsibleActionFail, match="variables must be a dictionary"):
        Diagnosis(said, {}, variables="all").run(None, {"inventory_hostname": "web", "all": [1]})


def trusted(text: str) -> str:
    """As in a playbook; up to ansible-core 2.18 every text is."""
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return text
    made: str = trust_as_template(text)
    return made


def test_who_connects_is_asked_on_request(said: list[str]) -> None:
    result, doing = run(said, who="5")
    assert doing.asked[1] == ("port_users_info", {"seconds": 5.0, "namespaces": []})
    assert result["users"]["connects"] == 9
    assert len(result["lines"]) > len(run([])[0]["lines"])


@pytest.mark.parametrize(
    ("wanted", "traced"),
    [("own", []), (["all"], []), ("web", [7]), (["web", "db"], [7])],
)
def test_only_the_namespaces_that_are_named_are_traced(said: list[str], wanted: Any, traced: list[int]) -> None:
    own = USAGE["namespace"]["inode"]
    other = {name: USAGE[name] for name in _model.NamespaceUsage.__annotations__ if name in USAGE}
    web = {**other, "namespace": {**USAGE["namespace"], "own": False, "inode": 7}}
    seen = {**USAGE, "namespaces": [web], "namespaces_observed": 1}
    doing = Diagnosis(said, {"port_usage_info": seen, "port_users_info": USERS}, who=1, observe={"namespaces": wanted})
    doing.run(None, {"inventory_hostname": "web"})
    assert doing.asked[1][1]["namespaces"] == ([own, *traced] if traced else [])


def test_where_not_all_that_were_named_are_told_all_are_traced(said: list[str]) -> None:
    seen = {**USAGE, "namespaces_observed": 101}
    doing = Diagnosis(
        said, {"port_usage_info": seen, "port_users_info": USERS}, who=1, observe={"namespaces": "web,db"}
    )
    doing.run(None, {"inventory_hostname": "web"})
    assert doing.asked[1][1]["namespaces"] == []


def test_a_connect_without_a_port_is_as_bad_as_it_gets(said: list[str]) -> None:
    result, _doing = run(said, who=1, users={**USERS, "no_port": 1})
    assert (result["level"], result["usage"]["level"]) == ("exhausted", "ok")


@pytest.mark.parametrize(
    ("namespace", "no_port", "observed", "told"),
    [
        (7, 1, 0, True),
        (7, 0, 0, False),
        (None, 1, 0, False),
        (USAGE["namespace"]["inode"], 1, 0, False),
        (7, 1, 101, False),
    ],
)
def test_who_finds_no_port_where_nobody_looked_is_told(
    said: list[str], namespace: int | None, no_port: int, observed: int, told: bool
) -> None:
    user = {
        "program": "curl", "owner": None, "namespace": namespace, "pid": 1, "processes": 1, "address": "198.51.100.1",
        "port": 80, "connects": 9, "no_port": no_port, "rate": 1.8,
    }  # fmt: skip
    users = {**USERS, "no_port": no_port, "users_found": 1, "users": [user]}
    usage = {**USAGE, "level": "ok", "namespaces_observed": observed}
    doing = Diagnosis(said, {"port_usage_info": usage, "port_users_info": users}, who=1)
    lines = doing.run(None, {"inventory_hostname": "web"})["lines"]
    assert any("timewait_diagnose_namespaces: all" in line for line in lines) is told


@pytest.mark.parametrize("fail_at", ["never", "warning", "critical", "exhausted"])
@pytest.mark.parametrize("level", ["unknown", "ok", "warning", "critical", "exhausted"])
def test_it_fails_at_a_level(said: list[str], level: str, fail_at: str) -> None:
    result, _doing = run(said, level, fail_at=fail_at)
    order = ["ok", "warning", "critical", "exhausted"]
    expected = fail_at != "never" and level in order and order.index(level) >= order.index(fail_at)
    assert result.get("failed", False) == expected
    if expected:
        reason, _empty, *lines = result["msg"].split("\n")
        assert reason == f"the level is {level}, and fail_at is {fail_at}"
        kept = result["invocation"]
        assert lines == kept["lines"]
        assert kept["usage"]["level"] == level
        assert sorted(result) == ["changed", "failed", "invocation", "msg", "warnings"]


@pytest.mark.parametrize(
    "given", [{"fail_at": "sometimes"}, {"who": True}, {"who": "long"}, {"observe": "all"}], ids=str
)
def test_bad_input_is_told_before_a_host_is_observed(said: list[str], given: dict[str, Any]) -> None:
    doing = Diagnosis(said, {}, **given)
    with pytest.raises(AnsibleActionFail, match=next(iter(given))):
        doing.run(None, {"inventory_hostname": "web"})
    assert doing.asked == []


def test_a_host_that_hangs_fails_in_time(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Diagnosis, "call", lambda *_arguments: signal.raise_signal(signal.SIGALRM))
    result = Diagnosis(said, {}, timeout="30").run(None, {"inventory_hostname": "web"})
    assert result == {"changed": False, "failed": True, "msg": "it did not answer within 30 s"}


def test_a_host_that_does_not_answer_fails_with_its_reason(said: list[str]) -> None:
    crash: Answer[Any] = Answer(None, "killed", {"warnings": ["w"]}, {"module_stderr": "words"})
    doing = Diagnosis(said, {"port_usage_info": crash})
    result = doing.run(None, {"inventory_hostname": "web"})
    assert result == {"changed": False, "failed": True, "msg": "killed", "warnings": ["w"], "module_stderr": "words"}
    assert said == []


def test_options_are_documented() -> None:
    documented = options_of(diagnosis)
    assert documented.keys() == action.ARGUMENTS.keys()
    for name, spec in action.ARGUMENTS.items():
        assert {key: documented[name].get(key) for key in spec} == spec

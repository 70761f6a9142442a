# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action remediation takes and how it renders; all else needs a host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar

from ansible_collections.netops.ephemeral_ports.plugins.action.remediation import ARGUMENTS, ActionModule
from ansible_collections.netops.ephemeral_ports.plugins.modules import remediation, sysctl_dropin
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _host_action, _remediate
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._remediate import DROPIN_OPTIONS, StepFailedError
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._task_result import reason_given

from .documented import options_of


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> ActionModule:
    plain = SimpleNamespace(get=lambda name, **options: lookup_loader.get(name.rpartition(".")[2], **options))
    monkeypatch.setattr(_remediate, "lookup_loader", plain)  # full names need a run of Ansible
    loader = DataLoader()
    return ActionModule(SimpleNamespace(), None, None, loader, Templar(loader=loader), None)


def test_every_option_is_documented() -> None:
    documented = options_of(remediation)
    assert documented.keys() == ARGUMENTS.keys()
    for name, spec in ARGUMENTS.items():
        told = documented[name]
        assert told["type"] == spec["type"], name
        assert [told.get(key) for key in ("choices", "default", "required")] == [
            spec.get(key) for key in ("choices", "default", "required")
        ], name


def test_the_options_of_the_dropin_are_those_of_its_module() -> None:
    assert {*DROPIN_OPTIONS, "content", "state", "keys", "asked_ports"} == sysctl_dropin.ARGUMENTS.keys()


def test_what_a_host_says_is_not_taken_for_a_template(action: ActionModule, tmp_path: Path) -> None:
    template = tmp_path / "ours.j2"
    template.write_text("# {{ remediation_plan.settings[0].reason }}\n")
    setting = {"key": "net.ipv4.a", "wanted": None, "reason": "Linux {{ 6 * 7 }} does not have it."}
    plan = {"settings": [setting]}
    assert action.render(str(template), plan, {}) == "# Linux {{ 6 * 7 }} does not have it.\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [("{{ absent }}\n", "absent"), ("{% if %}\n", "ours.j2"), ("{{ [1, 2] }}", "which is not a text")],
)
def test_a_template_that_gives_no_text(action: ActionModule, tmp_path: Path, text: str, words: str) -> None:
    template = tmp_path / "ours.j2"
    template.write_text(text)
    with pytest.raises(StepFailedError, match=words) as raised:
        action.render(str(template), {"settings": []}, {})
    assert str(template) in str(raised.value)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"msg": "No."}, "No."),
        ({"msg": "MODULE FAILURE\nSee stdout/stderr for the exact error", "module_stderr": "a\nb\n"}, "b"),
        ({"msg": "Module result deserialization failed: no JSON", "module_stderr": "b"}, "b"),
        ({"msg": "No.", "module_stderr": "noise"}, "No."),
        ({}, "no reason given"),
    ],
)
def test_why_a_module_failed(result: dict[str, str], reason: str) -> None:
    assert reason_given(result) == reason


class Remediation(ActionModule):
    """Without a host: every step before the last is done, and that one fails where it is asked to."""

    def __init__(self, fails: bool, **arguments: object) -> None:
        args = {"template": "ours.j2", **arguments}
        self._task = SimpleNamespace(args=args, async_val=0, no_log=False, check_mode=True)
        self._fails = fails

    def remediate(self, result: dict[str, object], options: object, task_vars: object) -> None:
        del options, task_vars
        result |= {"plan": "a plan", "changed": True}
        if self._fails:
            raise StepFailedError("it is full", {"module_stderr": "words"})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(_remediate.HostAction, "run", lambda *_arguments: {}, raising=False)
    monkeypatch.setattr(_host_action, "describe", lambda result, **_check: [result["plan"]])
    monkeypatch.setattr(_host_action, "say", lambda host, told: lines.extend([host, *told]))
    return lines


@pytest.mark.parametrize(
    ("on_error", "failed", "plan"),
    [("fail", True, None), ("return", None, "a plan")],
)
def test_what_is_told_of_an_error(said: list[str], on_error: str, failed: bool | None, plan: str | None) -> None:
    result = Remediation(True, on_error=on_error).run(None, {"inventory_hostname": "web"})
    assert (result.get("failed"), result.get("plan"), result["module_stderr"]) == (failed, plan, "words")
    assert "it is full" in (result.get("msg"), result.get("error"))
    assert said == []


@pytest.mark.parametrize("check", [True, False])
def test_one_task_says_what_it_did(said: list[str], check: bool) -> None:
    result = Remediation(False).run(None, {"inventory_hostname": "web", "ansible_check_mode": check})
    assert said == ["web", "a plan"]
    assert result["changed"] is check  # a prediction in a run that is none changes nothing


def test_a_failed_task_keeps_for_the_report_what_the_terminal_does_not_get(said: list[str]) -> None:
    result = Remediation(True).run(None, {"inventory_hostname": "web"})
    assert sorted(result) == ["changed", "failed", "invocation", "module_stderr", "msg"]
    kept = result["invocation"]
    assert (kept["kind"], kept["plan"], kept["error"]) == ("remediation", "a plan", "it is full")
    assert said == []

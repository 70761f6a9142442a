# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules have around their function, and the tree of errors that it catches."""

from __future__ import annotations

import atexit
import gc
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common import errors, shell
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import (
    Error,
    LoadFailedError,
    OptionError,
    SockDiagError,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.shell import refuse_booleans
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import dropin, journal, lock, trust
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import probe

SPEC: dict[str, dict[str, Any]] = {
    "count": {"type": "int"},
    "rate": {"type": "float"},
    "force": {"type": "bool"},
    "name": {"type": "str"},
}
Run = Callable[..., tuple[dict[str, Any], int]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a function as a module; arguments are handed over as the controller does it. Its result and exit code."""

    def start(function: Callable[[dict[str, Any], bool], dict[str, Any]], **arguments: object) -> Any:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        if hasattr(basic, "_ANSIBLE_PROFILE"):  # ansible-core 2.19 and newer
            monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        with pytest.raises(SystemExit) as ended:
            shell.run(SPEC, function, supports_check_mode=True)
        return json.loads(capsys.readouterr().out), ended.value.code

    return start


@pytest.mark.parametrize("check", [True, False])
def test_result(run: Run, check: bool) -> None:
    result, code = run(lambda options, check: {"options": options, "check": check}, count=2, _ansible_check_mode=check)
    assert (result["options"], result["check"]) == ({"count": 2, "rate": None, "force": None, "name": None}, check)
    assert code == 0
    assert "failed" not in result


def test_the_garbage_collector_leaves_alone_what_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[str] = []
    at_the_end: list[Callable[[], None]] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append("all"))
    monkeypatch.setattr(atexit, "register", at_the_end.append)
    run(lambda _options, _check: {})
    assert (frozen, at_the_end) == (["all"], [gc.freeze])


def test_warnings_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _self, text: shown.append(text))
    result, _code = run(lambda _options, _check: {"warnings": ["beware"]})
    assert (shown, "warnings" in result) == (["beware"], False)


@pytest.mark.parametrize(
    ("error", "message", "rest"),
    [
        (OptionError("count is odd"), "count is odd", {}),
        (SockDiagError("refused"), "refused", {}),
        (LoadFailedError("3 failed", failures=3), "3 failed", {"failures": 3}),
        (OSError(28, "No space left on device", "/a"), "/a: No space left on device", {}),
        (PermissionError(13, "Permission denied", "/a"), "/a: Permission denied; run this as root (become: true)", {}),
        (OSError("odd"), "odd", {}),
    ],
)
def test_errors(run: Run, error: Exception, message: str, rest: dict[str, Any]) -> None:
    def fail(_options: object, _check: object) -> dict[str, Any]:
        raise error

    result, code = run(fail)
    assert (result["failed"], result["msg"], code) == (True, message, 1)
    assert result.items() >= rest.items()


def test_a_boolean_is_refused_before_anything_runs(run: Run) -> None:
    def never(_options: object, _check: object) -> dict[str, Any]:
        raise AssertionError("it ran")

    assert run(never, count=True)[0]["msg"] == "count must be a number, not the boolean true"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"count": 1, "rate": 0.5}, {"count": "1"}, {"count": None}, {"force": True}, {"name": True}, {"other": True}],
)
def test_accepted(arguments: dict[str, object]) -> None:
    refuse_booleans(SPEC, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": True}, "count must be a number, not the boolean true"),
        ({"count": False}, "count must be a number, not the boolean false"),
        ({"rate": True}, "rate must be a number, not the boolean true"),
    ],
)
def test_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        refuse_booleans(SPEC, arguments)


def test_the_tree_oferrors_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^ *(\w*Error) ", errors.__doc__ or "", re.MULTILINE)
    elsewhere = (dropin.ApplyError, journal.JournalError, lock.LockedError, probe.NotAllowedError, trust.UntrustedError)
    here = [one for one in vars(errors).values() if inspect.isclass(one) and one.__module__ == errors.__name__]
    assert sorted(drawn) == sorted(one.__name__ for one in (*here, *elsewhere))
    assert all(issubclass(one, Error) for one in (*here, *elsewhere))

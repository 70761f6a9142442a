# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed host receives for a module, and what an honest one answers. Standard library only."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

# The parameters in the wrapper around a module: of ansible-core 2.16, and of 2.19 and newer.
_PARAMETERS = re.compile(rb"^ *(?:ANSIBALLZ_PARAMS = |params=)(.*?),?$", re.MULTILINE)
# The same in a program of ours (plugin_utils/_program.py).
_GIVEN = re.compile(rb'^exec\(.*"GIVEN": (.*)\}\)$', re.MULTILINE)


class Call(NamedTuple):
    """A module that the controller wants to be run. check: whether as a prediction."""

    module: str
    arguments: dict[str, Any]
    check: bool


def read_call(name: str, content: bytes) -> Call | None:
    """The call in a file that Ansible has transferred; None where it is something else."""
    if "AnsiballZ_" not in name:
        return None
    module = Path(name).name.removeprefix("AnsiballZ_").removesuffix(".py").rpartition(".")[2]
    if program := _GIVEN.search(content):
        given = json.loads(ast.literal_eval(program[1].decode()))
        return Call(module, given["options"], given["check"])
    found = _PARAMETERS.search(content)
    if not found:
        return None
    given = json.loads(ast.literal_eval(found[1].decode()))["ANSIBLE_MODULE_ARGS"]
    arguments = {key: value for key, value in given.items() if not key.startswith("_ansible_")}
    return Call(module, arguments, bool(given.get("_ansible_check_mode")))


class Tape:
    """What an honest host has answered, to be said again by hosts that want to be believed up to a point."""

    def __init__(self, lines: list[str]) -> None:
        self.takes = [json.loads(line) for line in lines]

    def answer(self, call: Call) -> dict[str, Any]:
        """The answer to the call that is most like this one."""
        takes = [take for take in self.takes if take["module"] == call.module]
        if not takes:
            return {"changed": False}
        best = max(takes, key=lambda take: _likeness(take, call))
        copy: dict[str, Any] = json.loads(json.dumps(best["answer"]))
        return copy


def _likeness(take: dict[str, Any], call: Call) -> int:
    names = {*take["arguments"], *call.arguments}
    same = sum(1 if take["arguments"].get(name) == call.arguments.get(name) else -1 for name in names)
    state = take["arguments"].get("state") == call.arguments.get("state")
    return same + 100 * state + 50 * (take["check"] == call.check)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say results in plain words: the verdict first, then the numbers, then why, then what to do next.

Every function takes the result of a module or filter of this collection and returns lines of printable characters
without double quotes: Ansible's default output shows them as a JSON list. They are wrapped at WIDTH, as the list needs
eleven columns of its own; a verdict is always one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ...module_utils._common.layout import one_line
from ...module_utils._usage.words import describe_usage
from .._border import clean, parse
from .._model import (
    ApplyResult,
    HostOutcome,
    LoadResult,
    NamespaceApplyResult,
    Plan,
    Remediation,
    StepResult,
    Usage,
    Users,
)
from .changes import (
    describe_apply,
    describe_elsewhere,
    describe_outcome,
    describe_plan,
    describe_remediation,
    describe_step,
)
from .load import describe_load
from .users import describe_users

T = TypeVar("T")


def describe(result: object, check: bool = False) -> list[str]:
    """Describe a result of this collection, by its field kind.

    check: the result comes from check mode, so nothing has happened yet.
    Raises ValueError for anything else.
    """
    kind = result.get("kind") if isinstance(result, Mapping) else None
    kind = "step" if kind == "outcome" and isinstance(result, Mapping) and "step" in result else kind
    if not isinstance(kind, str) or kind not in _KINDS:
        what = f"one of kind {clean(str(kind), 40)}" if isinstance(result, Mapping) else type(result).__name__
        raise ValueError(f"expected a result of this collection ({', '.join(_KINDS)}), not {what}")
    return [one_line(line) for line in _KINDS[kind](result, check)]


def _typed(kind: type[T], lines: Callable[[T, bool], list[str]]) -> Callable[[object, bool], list[str]]:
    return lambda result, check: lines(parse(kind, result), check)


_KINDS: Mapping[str, Callable[[object, bool], list[str]]] = {
    "usage": _typed(Usage, lambda usage, _check: describe_usage(usage)),
    "users": _typed(Users, lambda users, _check: describe_users(users)),
    "plan": _typed(Plan, lambda plan, _check: describe_plan(plan)),
    "apply": _typed(ApplyResult, describe_apply),
    "namespace_apply": _typed(NamespaceApplyResult, describe_elsewhere),
    # It says itself whether it is a prediction.
    "remediation": _typed(Remediation, lambda remediation, _check: describe_remediation(remediation)),
    "load": _typed(LoadResult, lambda load, _check: describe_load(load)),
    "outcome": _typed(HostOutcome, describe_outcome),
    "step": _typed(StepResult, describe_step),
}

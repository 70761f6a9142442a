# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The border between hosts and the controller: what a host says is checked here, once, and held to bounds.

A managed host may be hostile. Of what it returns only that passes which the types of _model name, in plain types, with
no more text and items than those types allow, and without characters that steer a terminal. Facts never pass.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from operator import length_hint
from sys import intern
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from ._model import (
    ApplyResult,
    AtMost,
    Kernel,
    KeyResult,
    ListeningPorts,
    LongText,
    Namespace,
    NotObserved,
    Plan,
    PortRange,
    Setting,
)

T = TypeVar("T")
Check = Callable[[object], Any]

# What no honest host exceeds, unless a type of _model says otherwise.
TEXT = 8_192
ITEMS = 1_024
# Of all text and items of a result together.
IN_ALL = 4_000_000
# Evidence of findings has no type: numbers by name, a few of them grouped.
DEPTH = 4

# Numbers of the kernel have 64 bits.
LARGEST = 2**64
# C0 but tab and newline, DEL, C1, what turns the direction of text around, and what cannot be seen.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_STAND_IN = "\ufffd"

# Texts that were found to be printable, as far as they are short; so many of them.
_KNOWN: dict[str, str] = {}
_MOST_KNOWN, _SHORT = 4_096, 120

# What thousands of hosts have in common as a whole is checked once, and kept once; so many of each, none of them long.
_SYSCTLS = dict[str, LongText | None]
_COMMON = (ApplyResult, Kernel, KeyResult, ListeningPorts, Namespace, NotObserved, Plan, PortRange, Setting, _SYSCTLS)
_MOST_COMMON, _NOT_LONG = 1_024, 4_096

# Variables that are ours by their first letters. A fact of a host would outrank the defaults of roles.
OUR_VARIABLES = ("timewait_", "__timewait_", "ephemeral_ports_")
_INTERPRETER = re.compile(r"/[\w./+-]{1,200}\Z")


class NotUnderstoodError(ValueError):
    """What a host returned is not what was asked for. The message names the place."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.place: list[str] = []

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.place))}: {self.why}" if self.place else self.why


def parse(kind: type[T], value: object) -> T:
    """The value as that type of _model, copied, with nothing in it but what the type names.

    Raises NotUnderstoodError. A field with one possible value (kind) is filled in: the controller knows what it asked.
    """
    result: T = _check_of(cast(Hashable, kind))(value)
    return result


def prepare(*kinds: type) -> None:
    """What parse() would find out about these types in each worker anew."""
    for kind in kinds:
        _check_of(cast(Hashable, kind))


def printable(text: str) -> str:
    """A plain string that does not steer a terminal."""
    plain = str.__str__(text)  # str() keeps the tags that ansible-core gives to strings
    return plain if plain.isprintable() else _STEERING.sub(_STAND_IN, plain)


def printable_throughout(value: object) -> object:
    """The same for every string of what JSON holds. Raises RecursionError where it is deep."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(name): printable_throughout(one) for name, one in value.items()}
    return [printable_throughout(one) for one in value] if isinstance(value, list) else value


def clean(text: str, most: int = TEXT) -> str:
    """A plain string that does not steer a terminal; too long a one loses its middle."""
    plain = printable(text)
    half = (most - 5) // 2
    return plain if len(plain) <= most else f"{plain[:half]} ... {plain[-half:]}"


def interpreter(path: object) -> str | None:
    """A discovered interpreter as the one fact that may pass: a plain absolute path."""
    return str.__str__(path) if isinstance(path, str) and _INTERPRETER.match(path) else None


def facts_of_ours(facts: object) -> list[str]:
    """Names of facts that would set variables of this collection."""
    names = facts if isinstance(facts, Mapping) else {}
    return sorted(clean(name, 100) for name in names if isinstance(name, str) and name.startswith(OUR_VARIABLES))


@cache
def _check_of(hint: Any) -> Check:  # noqa: ANN401 - a type form
    return _once(_check_anew(hint)) if hint in _COMMON else _check_anew(hint)


def _check_anew(hint: Any) -> Check:  # noqa: ANN401 - a type form
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        return _structure(hint)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1])
    if origin in (Union, UnionType):
        (some,) = (one for one in arguments if one is not NoneType)
        return _optional(_check_of(some))
    if origin is Literal:
        return _one_of(arguments)
    if origin is list:
        return _list(_check_of(arguments[0]), ITEMS)
    if origin is dict:
        return _free if arguments[1] is Any else _mapping(_check_of(arguments[1]))
    checks: dict[object, Check] = {str: _text(TEXT), int: _whole, float: _number, bool: _boolean}
    return checks[hint]


def _structure(hint: Any) -> Check:  # noqa: ANN401 - a TypedDict
    fields = {name: _check_of(one) for name, one in get_type_hints(hint, include_extras=True).items()}
    constants = {name: get_args(one)[0] for name, one in get_type_hints(hint).items() if _is_constant(one)}
    checked = [(name, check) for name, check in fields.items() if name not in constants]

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, (dict, Mapping)):  # dict alone is quicker to tell
            raise NotUnderstoodError(f"expected a dictionary, got {_shown(value)}")
        coming = iter(checked)
        try:
            result = {name: check_field(value[name]) for name, check_field in coming}
        except KeyError:
            raise NotUnderstoodError(f"{_name_before(coming)} is missing") from None
        except NotUnderstoodError as error:
            error.place.append(_name_before(coming))
            raise
        return {**constants, **result} if constants else result

    def _name_before(coming: Iterator[tuple[str, Check]]) -> str:
        return checked[len(checked) - length_hint(coming) - 1][0]

    return check


def _once(check: Check) -> Check:
    """One result for all that is the same, in value and type. Nobody changes what was parsed."""
    known: dict[bytes, Any] = {}

    def check_once(value: Any) -> Any:  # noqa: ANN401 - as the check
        try:
            key = marshal.dumps(value, 2)  # without references, as before version 3: of the value alone
        except ValueError:  # more than plain JSON: a string with tags, say
            return check(value)
        result = known.get(key)
        if result is None:
            result = check(value)
            if len(known) < _MOST_COMMON and len(key) <= _NOT_LONG:
                known[key] = result
        return result

    return check_once


def _is_constant(hint: object) -> bool:
    return get_origin(hint) is Literal and len(get_args(hint)) == 1


def _bounded(hint: object, bound: AtMost) -> Check:
    if hint is str:
        return _text(bound.number)
    return _list(_check_of(get_args(hint)[0]), bound.number)


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _one_of(words: tuple[object, ...]) -> Check:
    known: dict[Any, object] = {word: word for word in words}

    def check(value: object) -> object:
        try:
            return known[value]
        except (KeyError, TypeError):
            raise NotUnderstoodError(f"expected one of {', '.join(map(str, words))}, got {_shown(value)}") from None

    return check


def _list(check_item: Check, most: int) -> Check:
    def check(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise NotUnderstoodError(f"expected a list, got {_shown(value)}")
        if len(value) > most:
            raise NotUnderstoodError(f"{len(value)} items are more than {most}")
        return [check_item(item) for item in value]

    return check


def _mapping(check_value: Check) -> Check:
    check_name = _text(200)

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, (dict, Mapping)):
            raise NotUnderstoodError(f"expected a dictionary, got {_shown(value)}")
        if len(value) > ITEMS:
            raise NotUnderstoodError(f"{len(value)} items are more than {ITEMS}")
        known = _KNOWN.get
        return {known(name) or check_name(name): check_value(one) for name, one in value.items()}

    return check


def _text(most: int) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise NotUnderstoodError(f"expected a text, got {_shown(value)}")
        if len(value) > most:
            raise NotUnderstoodError(f"{len(value)} characters are more than {most}")
        # Thousands of hosts say the same in the same words: one check is enough, and in memory one copy.
        known = _KNOWN.get(value)
        if known is None:
            known = intern(printable(value))
            if len(_KNOWN) < _MOST_KNOWN and len(known) <= _SHORT:
                _KNOWN[known] = known
        return known

    return check


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotUnderstoodError(f"expected a whole number, got {_shown(value)}")
    if not -LARGEST < value < LARGEST:
        raise NotUnderstoodError("the number is out of all bounds")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, float) and -LARGEST < value < LARGEST:  # NaN is not
        return float(value)
    if isinstance(value, float):
        raise NotUnderstoodError("the number is out of all bounds")
    return float(_whole(value))


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise NotUnderstoodError(f"expected true or false, got {_shown(value)}")


def _free(value: object, depth: int = DEPTH) -> Any:  # noqa: ANN401 - JSON
    """A dictionary of whatever JSON has, not deep."""
    if not isinstance(value, Mapping) and depth == DEPTH:
        raise NotUnderstoodError(f"expected a dictionary, got {_shown(value)}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _check_of(str)(value)
    if isinstance(value, (int, float)):
        return _number(value) if isinstance(value, float) else _whole(value)
    if depth == 0:
        raise NotUnderstoodError("it is too deep")
    if isinstance(value, Mapping):
        return _mapping(lambda one: _free(one, depth - 1))(value)
    return _list(lambda one: _free(one, depth - 1), ITEMS)(value)


def _shown(value: object) -> str:
    """For an error message: what it is, and its beginning where that is short to get."""
    if isinstance(value, str):
        return repr(clean(value[:41], 40))
    return repr(value) if isinstance(value, (bool, NoneType)) else type(value).__name__.removeprefix("_AnsibleTagged")


def weigh(value: object) -> int:
    """Characters and items of what a host said. Raises NotUnderstoodError beyond IN_ALL, without going on."""
    total = 0
    for amount in _amounts(value):
        total += amount
        if total > IN_ALL:
            raise NotUnderstoodError(f"the result is larger than {IN_ALL} characters and items")
    return total


def _amounts(value: object) -> Iterator[int]:
    """Without recursion: what a host said may be deep."""
    waiting: list[object] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield len(one)
        elif isinstance(one, Mapping):
            yield len(one)
            waiting.extend(one.keys())
            waiting.extend(one.values())
        elif isinstance(one, list):
            yield len(one)
            waiting.extend(one)

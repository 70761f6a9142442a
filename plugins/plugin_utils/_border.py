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
from sys import intern
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ._model import (
    ApplyResult,
    AtMost,
    Change,
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
# Nearly all are from 0 to here, which Python tells at once.
_USUAL = 2**30 - 1
# C0 but tab and newline, DEL, C1, what turns the direction of text around, and what cannot be seen.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_STAND_IN = "\ufffd"

# Texts that were found to be printable, as far as they are short; so many of them.
_KNOWN: dict[str, str] = {}
_MOST_KNOWN, _SHORT = 4_096, 120

# What thousands of hosts have in common as a whole is checked once, and kept once; so many of each, none of them long.
_SYSCTLS = dict[str, LongText | None]
_COMMON = (
    *(ApplyResult, Change, Kernel, KeyResult, ListeningPorts, Namespace, NotObserved, Plan, PortRange, Setting),
    _SYSCTLS,
)
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
    """A check that is written out, field by field: for millions of numbers, calls would cost more than the checks."""
    fields = get_type_hints(hint, include_extras=True)
    constants = {name: get_args(one)[0] for name, one in fields.items() if _is_constant(one)}
    checked = [name for name in fields if name not in constants]
    used: dict[str, Any] = {"Mapping": Mapping, "known": _KNOWN.get, "wrong": _wrong_type, "Odd": NotUnderstoodError}
    lines = [
        "def check(value):",
        "    if type(value) is not dict and not isinstance(value, Mapping): wrong('a dictionary', value)",
        "    at = ''",
        "    try:",
    ]
    for index, name in enumerate(checked):
        used[f"check{index}"] = _check_of(fields[name])
        lines += [f"        at = {name!r}", f"        v{index} = value[at]"]
        lines += [f"        {line}" for line in _inline(fields[name], f"v{index}", f"check{index}", used)]
    result = [f"{name!r}: {constants[name]!r}" for name in constants]
    result += [f"{name!r}: v{index}" for index, name in enumerate(checked)]
    lines += [
        "    except KeyError: raise Odd(f'{at} is missing') from None",
        "    except Odd as error:",
        "        error.place.append(at)",
        "        raise",
        f"    return {{{', '.join(result)}}}",
    ]
    exec("\n".join(lines), used)  # of names and types of _model, and nothing that a host said
    return cast(Check, used["check"])


def _inline(hint: Any, value: str, check: str, used: dict[str, Any]) -> list[str]:  # noqa: ANN401 - a type form
    """Lines that pass by themselves what is usual, and call the check for all else."""
    if get_origin(hint) in (Union, UnionType):
        (some,) = (one for one in get_args(hint) if one is not NoneType)
        used[check] = _check_of(some)
        return [f"if {value} is not None:", *(f"    {line}" for line in _inline(some, value, check, used))]
    otherwise = f"{value} = {check}({value})"
    if get_origin(hint) is Annotated and get_args(hint)[0] is not str:
        hint = get_args(hint)[0]  # there is no bound for nothing
    if get_origin(hint) is list:
        return [f"{value} = {check}({value}) if {value} or type({value}) is not list else []"]
    if get_origin(hint) is dict:
        return [f"{value} = {check}({value}) if {value} or type({value}) is not dict else {{}}"]
    if hint is int:
        return [f"if type({value}) is not int or not -1 < {value} < {_USUAL}: {otherwise}"]
    if hint is float:
        return [f"if type({value}) is not float or not -{LARGEST}.0 < {value} < {LARGEST}.0: {otherwise}"]
    if hint is bool:
        return [f"if {value} is not True and {value} is not False: {otherwise}"]
    if hint is str or get_origin(hint) is Literal:
        known = "known" if hint is str else f"words_of_{check}"
        used[known] = _KNOWN.get if hint is str else {word: word for word in get_args(hint)}.get
        same = f"{known}({value}) if type({value}) is str else None"
        return [f"same = {same}", f"{value} = {check}({value}) if same is None else same"]
    return [otherwise]


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
            _wrong_type("a list", value)
        if len(value) > most:
            raise NotUnderstoodError(f"{len(value)} items are more than {most}")
        return [check_item(item) for item in value]

    return check


def _mapping(check_value: Check) -> Check:
    check_name = _text(200)

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, (dict, Mapping)):
            _wrong_type("a dictionary", value)
        if len(value) > ITEMS:
            raise NotUnderstoodError(f"{len(value)} items are more than {ITEMS}")
        known = _KNOWN.get
        if check_value is _whole:  # counters, dozens of each host: a call would cost more than the check
            return {
                known(name) or check_name(name): one if one.__class__ is int and -1 < one < _USUAL else _whole(one)
                for name, one in value.items()
            }
        return {known(name) or check_name(name): check_value(one) for name, one in value.items()}

    return check


def _text(most: int) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, str):
            _wrong_type("a text", value)
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
        _wrong_type("a whole number", value)
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
    if not isinstance(value, bool):
        _wrong_type("true or false", value)
    return value


def _free(value: object) -> Any:  # noqa: ANN401 - JSON
    """A dictionary of whatever JSON has, not deep."""
    return _free_mapping(DEPTH)(value)


@cache
def _free_mapping(depth: int) -> Check:
    return _mapping(_free_value(depth - 1))


@cache
def _free_value(depth: int) -> Check:
    """What may stand in it, so many levels above the deepest."""
    check_text = _text(TEXT)

    def check(value: object) -> Any:  # noqa: ANN401 - JSON
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return _number(value) if isinstance(value, float) else _whole(value)
        if isinstance(value, str):
            return check_text(value)
        if depth == 0:
            raise NotUnderstoodError("it is too deep")
        check_items = _free_mapping(depth) if isinstance(value, Mapping) else _list(_free_value(depth - 1), ITEMS)
        return check_items(value)

    return check


def _wrong_type(expected: str, value: object) -> NoReturn:
    raise NotUnderstoodError(f"expected {expected}, got {_shown(value)}")


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

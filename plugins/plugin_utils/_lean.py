# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code without what it does not need to run: docstrings, comments, hints of types, and imports for those alone.

The lines stay where they are, so that a traceback names those of the file. What a host need not compile before it is
called is marked. Pure.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..module_utils._common.program import MARK
from ._host_files import statements

_TEXTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")

Place = tuple[int, int]  # line from 1, byte from 0


class Edit(NamedTuple):
    begin: Place
    end: Place
    text: str = ""


def lean(source: str) -> str:
    without_hints = _edited(without_words(source), _hints)
    return _edited(without_hints, _idle_imports)


def marked(source: str) -> str:
    """With the mark before and after each function that can be compiled when it is called."""
    return _edited(source, _functions)


def without_documentation(source: str) -> str:
    """A module without the texts that ansible-doc reads."""
    return _edited(source, _documentation)


def without_words(source: str) -> str:
    """Without docstrings and comments of their own line."""
    lines = source.splitlines()
    for node in statements(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            words = node.body[0]
            first, last = words.lineno - 1, words.end_lineno or words.lineno
            lines[first:last] = [""] * (last - first)
            if len(node.body) == 1:
                lines[first] = f"{' ' * words.col_offset}pass"
    return "\n".join("" if line.lstrip().startswith("#") else line for line in lines) + "\n"


def _edited(source: str, find: Callable[[ast.Module, list[bytes]], Iterable[Edit]]) -> str:
    lines = source.encode().splitlines()
    for begin, end, text in sorted(find(ast.parse(source), lines), reverse=True):
        (row, column), (last, stop) = begin, end
        head, tail = lines[row - 1][:column] + text.encode(), lines[last - 1][stop:]
        lines[row - 1 : last] = [head + tail] if row == last else [head, *[b""] * (last - row - 1), tail]
    return b"\n".join(lines).decode() + "\n"


def _documentation(tree: ast.Module, _lines: list[bytes]) -> Iterator[Edit]:
    for node in tree.body:
        names = node.targets if isinstance(node, ast.Assign) else ()
        if any(isinstance(one, ast.Name) and one.id in _TEXTS for one in names):
            yield Edit((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))


def _functions(tree: ast.Module, _lines: list[bytes]) -> Iterator[Edit]:
    """Those of the module without decorators, whose name nothing else takes and no class makes a method of."""
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    in_classes = [one for node in tree.body if isinstance(node, ast.ClassDef) for one in node.body]
    for statement in in_classes:
        if not isinstance(statement, ast.FunctionDef):
            taken |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list and node.name not in taken:
            begin, end = (node.lineno, 0), (node.end_lineno or 0, node.end_col_offset or 0)
            yield Edit(begin, begin, MARK)
            yield Edit(end, end, MARK)


def _hints(tree: ast.Module, lines: list[bytes]) -> Iterator[Edit]:
    in_classes = {id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            yield Edit((node.lineno, node.col_offset + len(node.arg.encode())), _end(node.annotation))
        elif isinstance(node, ast.FunctionDef) and node.returns and node.returns.lineno == node.returns.end_lineno:
            row, column = node.returns.lineno, node.returns.col_offset
            yield Edit((row, len(lines[row - 1][:column].rpartition(b"->")[0].rstrip())), _end(node.returns))
        elif isinstance(node, ast.AnnAssign) and id(node) not in in_classes and node.value:
            yield Edit(_end(node.target), _end(node.annotation))
        elif isinstance(node, ast.ClassDef) and is_named_tuple(node):
            for field in node.body:
                if isinstance(field, ast.AnnAssign):  # it has to have one
                    yield Edit((field.annotation.lineno, field.annotation.col_offset), _end(field.annotation), "None")


def is_named_tuple(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases)


def _idle_imports(tree: ast.Module, _lines: list[bytes]) -> Iterator[Edit]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            kept = [one for one in node.names if (one.asname or one.name) in used]
            if len(kept) < len(node.names):
                names = ", ".join(f"{one.name} as {one.asname}" if one.asname else one.name for one in kept)
                text = f"from {'.' * node.level}{node.module or ''} import {names}" if kept else ""
                yield Edit((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0), text)


def _end(node: ast.expr) -> Place:
    return node.end_lineno or 0, node.end_col_offset or 0

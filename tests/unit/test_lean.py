# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code that travels: the same code on the same lines, without what only people and type checkers need."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.program import MARK
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._host_files import HOST_CODE
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._lean import (
    is_named_tuple,
    lean,
    marked,
    without_documentation,
    without_words,
)

SOURCES = sorted(path.relative_to(HOST_CODE).as_posix() for path in HOST_CODE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES)
def test_it_is_the_same_code_on_the_same_lines(path: str) -> None:
    source = (HOST_CODE / path).read_text()
    wordless, found = without_words(source), lean(source)
    expected = WithoutDocstrings().visit(ast.parse(source))
    assert ast.dump(ast.parse(wordless)) == ast.dump(expected)
    expected = WithoutHints().visit(expected)
    used = {node.id for node in ast.walk(expected) if isinstance(node, ast.Name)}
    assert ast.dump(ast.parse(found)) == ast.dump(without_idle_imports(expected, used))
    for text in (wordless, found):
        assert {node.lineno for node in statements(text)} <= {node.lineno for node in statements(source)}
        assert len(text) < len(source)


@pytest.mark.parametrize("path", SOURCES)
def test_between_marks_are_functions(path: str) -> None:
    source = lean((HOST_CODE / path).read_text())
    pieces = marked(source).split(MARK)
    assert "".join(pieces) == source
    assert [type(node) for piece in pieces[1::2] for node in ast.parse(piece).body] == [ast.FunctionDef] * (
        len(pieces) // 2
    )
    ast.parse("".join(pieces[::2]))


def test_what_is_not_compiled_by_itself() -> None:
    source = """
def alone(é):
    return é
@cache
def decorated(): pass
def replaced(): pass
def method(self): pass
class One:
    also = method
    def own(self): pass
replaced = cache(replaced)
"""
    assert marked(source).split(MARK)[1::2] == ["def alone(é):\n    return é"]


def test_what_is_left_out() -> None:
    source = """
from .a import (
    Kind,
    Other,
)
from .b import Hint

class One(NamedTuple):
    name: Hint
    other: "Hint" = 3

def run(é: Hint, *more: Hint, key: "Hint" = é, **named: Hint) -> Dict[Hint, int]:
    local: Hint = Kind(é)
    with local:
        self.x: Hint = 4
    return local
"""
    assert lean(source).splitlines() == [
        "",
        "from .a import Kind",
        "",
        "",
        "",
        "",
        "",
        "class One(NamedTuple):",
        "    name: None",
        "    other: None = 3",
        "",
        "def run(é, *more, key = é, **named):",
        "    local = Kind(é)",
        "    with local:",
        "        self.x = 4",
        "    return local",
    ]


class WithoutDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        words = ast.get_docstring(node) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else None
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and words is not None:
            node.body = node.body[1:] or ([ast.Pass()] if not isinstance(node, ast.Module) else [])
        return node


class WithoutHints(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if node.returns and node.returns.lineno == node.returns.end_lineno:
            node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], node.value) if node.value else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        node.body = [one if one in fields else self.visit(one) for one in node.body]
        for field in fields if is_named_tuple(node) else ():
            field.annotation = ast.Constant(None)
        return node


def without_idle_imports(tree: ast.Module, used: set[str]) -> ast.Module:
    body: list[Any] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            node.names = [one for one in node.names if (one.asname or one.name) in used]
        if not isinstance(node, ast.ImportFrom) or node.names:
            body.append(node)
    tree.body = body
    return tree


def statements(source: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def test_a_module_travels_without_its_documentation() -> None:
    source = 'DOCUMENTATION = r"""\na: b\n"""\nRETURN = "x"\nOTHER = RETURNS = "y"\nx = 1\n'
    assert [*filter(None, without_documentation(source).splitlines())] == ['OTHER = RETURNS = "y"', "x = 1"]
    assert without_documentation(source).count("\n") == source.count("\n")

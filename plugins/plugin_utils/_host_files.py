# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of the host code something needs that is to run without Ansible: its import closure.

Host code (module_utils) imports its own by relative imports alone, and else the standard library. How the files are
packed is not decided here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

HOST_CODE = Path(__file__).resolve().parents[1] / "module_utils"
# What they are in, wherever they go.
PACKAGE = "ephemeral_ports"
COLLECTIONS = ("ansible_collections",)
STANDARD_LIBRARY_LACKS = ("ansible", *COLLECTIONS)


class NotSelfContainedError(Exception):
    """Host code that imports what a host does not have."""


def needed_files(
    *entries: str, root: Path = HOST_CODE, lacks: Sequence[str] = STANDARD_LIBRARY_LACKS
) -> dict[str, str]:
    """Path and source of each file that these modules need, sorted, with an empty __init__.py in each package.

    entries: as `_usage.run`. lacks: packages that they do not find. Imports within functions count. Raises
    NotSelfContainedError.
    """
    found: dict[str, str] = {}
    waiting = [*entries]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        source = _path(root, name).read_text(encoding="utf-8")
        found[name] = source
        waiting.extend(_imports(name, source, root, lacks))
    files = {f"{PACKAGE}/{name.replace('.', '/')}.py": source for name, source in found.items()}
    packages = {parent.as_posix() for path in files for parent in Path(path).parents[:-1]}
    return dict(sorted({**{f"{package}/__init__.py": "" for package in packages}, **files}.items()))


def _path(root: Path, name: str) -> Path:
    return root.joinpath(*name.split(".")).with_suffix(".py")


def _imports(name: str, source: str, root: Path, lacks: Sequence[str]) -> Iterator[str]:
    """Names of the modules of ours that it imports; those for the types alone it does not."""
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            _refuse(name, lacks, *(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            _refuse(name, lacks, node.module or "")
        elif isinstance(node, ast.ImportFrom):
            package = [*name.split(".")[: -node.level], *(node.module.split(".") if node.module else ())]
            within = [".".join([*package, alias.name]) for alias in node.names]
            modules = [one for one in [*within, ".".join(package)] if one and _path(root, one).is_file()]
            if not modules:
                raise NotSelfContainedError(f"{name} imports {within[0]}, which is absent")
            yield from modules


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All of them that run, however deep, in no order. Expressions have none, and would be most of the work."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            waiting.extend(getattr(node, part, ()))


def _refuse(name: str, lacks: Sequence[str], *imported: str) -> None:
    for one in imported:
        if one.partition(".")[0] in lacks:
            raise NotSelfContainedError(f"{name} imports {one}")

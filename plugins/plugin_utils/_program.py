# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code as one text that any Python 3.6 and newer runs: compressed, with its options in it. Pure, but for reading.

It wants no Ansible, no file and no directory on the host. A shell refuses every line of it, so that an interpreter that
is a shell does nothing else.
"""

from __future__ import annotations

import ast
import binascii
import json
import zlib
from typing import Any

from ._host_files import HOST_CODE, PACKAGE, needed_files, statements

_BEGINNING = HOST_CODE / "_common" / "program.py"
# As AnsiballZ does: neither the working directory nor that of the program may have modules.
_PATH = "[one for one in sys.path if one not in ('', '.', globals().get('__file__', '').rpartition('/')[0])]"


def build(entry: str) -> str:
    """The program that runs the function run() of this module, without its options. Raises NotSelfContainedError."""
    files = {path: without_words(source) for path, source in needed_files(entry, "_common.answer").items()}
    main = f"main({files!r}, {f'{PACKAGE}.{entry}'!r}, __import__('json').loads(GIVEN))"
    packed = zlib.compress(f"{without_words(_BEGINNING.read_text())}\n{main}\n".encode(), 9)
    text = binascii.b2a_base64(packed, newline=False).decode()
    # Apart from what uses it, because Python shows such a line in a traceback.
    head = f"""#!/usr/bin/python\nexec("import sys; sys.path = {_PATH}; PACKED = '{text}'")\n"""
    code = '__import__("zlib").decompress(__import__("binascii").a2b_base64(PACKED))'
    return f'{head}exec({code}, {{"__name__": "{PACKAGE}", "GIVEN": '


def with_options(program: str, options: dict[str, Any], check: bool, log: list[str] | None) -> bytes:
    """log: facility, name and line for syslog. Nothing in them can be code: they are one literal, of ASCII alone.

    Raises TypeError or ValueError for what JSON does not have.
    """
    given = json.dumps({"options": options, "check": check, "log": log})
    return f"{program}{given!r}}})\n".encode("ascii")


def without_words(source: str) -> str:
    """The same code on the same lines, without docstrings and comments of their own line."""
    lines = source.splitlines()
    for node in statements(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            words = node.body[0]
            first, last = words.lineno - 1, words.end_lineno or words.lineno
            lines[first:last] = [""] * (last - first)
            if len(node.body) == 1:
                lines[first] = f"{' ' * words.col_offset}pass"
    return "\n".join("" if line.lstrip().startswith("#") else line for line in lines) + "\n"

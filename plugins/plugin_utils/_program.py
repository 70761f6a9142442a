# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code as one program that any Python 3.6 and newer runs: compressed, with its options. Pure, but for reading.

It wants no Ansible, no file and no directory on the host. There are two forms. One is piped to an interpreter that has
LOADER as its argument, because Python reads a program from a pipe slowly, 0.3 ms for each kB. The other is a file. A
shell refuses both, so that an interpreter that is a shell does nothing else. MODULE_LOADER does the same for a module.
"""

from __future__ import annotations

import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from ._host_files import COLLECTIONS, HOST_CODE, PACKAGE, needed_files
from ._lean import lean, marked, without_documentation

_BEGINNING = HOST_CODE / "_common" / "program.py"
# A source of Python has no such byte.
_UNPACK = "CODE, *FILES = __import__('zlib').decompress({}).split(bytes(1)); exec(CODE)"
# As AnsiballZ does: neither the working directory nor that of the program may have modules.
_PATH = "[one for one in sys.path if one not in ('', '.', globals().get('__file__', '').rpartition('/')[0])]"
# For any shell: without what shells replace, and as one line, which has an error for them before they run any of it.
LOADER = f"""-c "import sys; sys.path = [one for one in sys.path if one]; f = open(0, 'rb'); GIVEN = f.readline(); {
    _UNPACK.format("f.read()")
}" """.rstrip()
# The same for a module that is piped: no line of it differs from what Python would read by itself.
MODULE_LOADER = (
    """-c "import sys; exec(compile(getattr(sys.stdin, 'buffer', sys.stdin).read(), '<stdin>', 'exec'))" """.rstrip()
)


# ansible-core takes it for a module by the first of its imports, and puts in what that needs.
_MODULE = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from binascii import a2b_base64
PACKED = "{}"
{}
"""


def build(entry: str) -> bytes:
    """What runs the function run() of this module, without its options. Raises NotSelfContainedError."""
    return _pack(f"main(FILES, {f'{PACKAGE}.{entry}'!r}, GIVEN)", needed_files(entry, "_common.answer"))


def build_module(name: str) -> bytes:
    """A module in one file: ansible-core's own part and the arguments are put into it as into any other.

    Raises NotSelfContainedError.
    """
    files = needed_files(f"modules.{name}", root=HOST_CODE.parent, lacks=COLLECTIONS)
    path = f"{PACKAGE}/modules/{name}.py"
    files[path] = without_documentation(files[path])
    packed = _pack(f"run_module(FILES, {f'{PACKAGE}.modules.{name}'!r})", files)
    return _MODULE.format(
        binascii.b2a_base64(packed, newline=False).decode(), _UNPACK.format("a2b_base64(PACKED)")
    ).encode()


def _pack(call: str, files: Mapping[str, str]) -> bytes:
    """A text that is run with those that follow it as FILES: path and source of each, in turn."""
    begin = f"{lean(_BEGINNING.read_text())}\n{call}\n"
    texts = [begin, *(text for path, source in files.items() for text in (path, marked(lean(source))))]
    return zlib.compress("\0".join(texts).encode(), 9)


def describe_given(options: dict[str, Any], check: bool, log: list[str] | None) -> str:
    """What a program is given, as one line of ASCII. log: facility, name and line for syslog.

    Raises TypeError or ValueError for what JSON does not have.
    """
    return json.dumps({"options": options, "check": check, "log": log})


def as_input(packed: bytes, given: str) -> bytes:
    """For the standard input of an interpreter with LOADER."""
    return given.encode("ascii") + b"\n" + packed


def as_file(packed: bytes, given: str) -> bytes:
    """Nothing that is given can be code: it is one literal."""
    text = binascii.b2a_base64(packed, newline=False).decode()
    # Apart from what uses it, because Python shows such a line in a traceback.
    head = f"""#!/usr/bin/python\nexec("import sys; sys.path = {_PATH}; PACKED = '{text}'")\n"""
    code = _UNPACK.format("__import__('binascii').a2b_base64(PACKED)")
    return f'{head}exec("{code}", {{**globals(), "GIVEN": {given!r}}})\n'.encode("ascii")

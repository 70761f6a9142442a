# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of a program that travels to a host: it has the files of the host code in memory, and runs one of them.

Its own text comes first in that program (plugin_utils/_program.py), so it imports nothing of ours.
"""

import json
import os
import sys
import syslog
from types import ModuleType
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence, Tuple, Union

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
else:
    ModuleSpec = type(sys.__spec__)  # to import it would load ten modules more


# Around each function that can be compiled by itself, as plugin_utils/_lean.py has found.
MARK = "\1"


class _Lazy(ModuleType):
    """A module whose source is compiled once something in it is needed: a healthy host needs few of them.

    To import a function is not to need it yet.
    """

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("__"):
            files: Any = self.__loader__
            if MARK + "def " + name + "(" in files.get_marked(self.__name__):
                return _Function(self, name)
            _compile(self)
        return ModuleType.__getattribute__(self, name)


class _Function:
    """It is compiled when it is called, and its module, too. text: its own, of a module that is compiled."""

    def __init__(self, module: ModuleType, name: str, text: str = "") -> None:
        self.place = module, name
        self.text = text

    def __call__(self, *arguments: object, **named: object) -> object:
        module, name = self.place
        if isinstance(module, _Lazy):
            _compile(module)
        found: Any = module.__dict__[name]
        if isinstance(found, _Function):
            _run(module, found.text)
            found = module.__dict__[name]
        return found(*arguments, **named)


def _compile(module: ModuleType) -> None:
    """All but functions. Each piece has as many lines above it as in its file."""
    module.__class__ = ModuleType  # from now on as any other
    files: Any = module.__loader__
    above, rest = "", ""
    for number, piece in enumerate(files.get_marked(module.__name__).split(MARK)):
        lines = "\n" * piece.count("\n")
        if number % 2:
            name = piece[4 : piece.index("(")]
            module.__dict__[name] = _Function(module, name, above + piece)
            piece = lines
        above, rest = above + lines, rest + piece
    _run(module, rest)


def _run(module: ModuleType, text: str) -> None:
    exec(compile(text, module.__file__ or "", "exec", dont_inherit=True), module.__dict__)


class _Files:
    """Finds and loads modules in a dictionary of sources by path."""

    def __init__(self, files: Dict[str, bytes]) -> None:
        self.files = files

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "Optional[ModuleSpec]":
        for path, is_package in self._found(name):
            spec = ModuleSpec(name, self, origin=path, is_package=is_package)  # type: ignore[arg-type]  # all it is asked for
            spec.has_location = True
            return spec
        return None

    def create_module(self, _spec: "ModuleSpec") -> None:
        """As Python itself does."""

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Lazy

    def get_marked(self, name: str) -> str:
        return next(self.files[path].decode() for path, _is_package in self._found(name))

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        return self.get_marked(name).replace(MARK, "")

    def _found(self, name: str) -> Iterator[Tuple[str, bool]]:
        base = name.replace(".", "/")
        places = (base + ".py", False), (base + "/__init__.py", True)
        return (place for place in places if place[0] in self.files)


def main(files: Sequence[bytes], entry: str, described: Union[bytes, str]) -> None:
    """Print the answer of entry.run() as a module does, and end.

    files: path and source of each, in turn. described: in JSON, options; check, for check mode; log, what goes to
    syslog as facility, name and line, or None.
    """
    given = json.loads(described)
    if given["log"]:
        _log(*given["log"])
    _install(files)
    package = entry.partition(".")[0]
    __import__(entry)
    __import__(package + "._common.answer")
    function, answer = sys.modules[entry].run, sys.modules[package + "._common.answer"].answer
    result = answer(function, given["options"], given["check"])
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(1 if result.get("failed") else 0)  # to take everything apart first would cost a tenth of all


def run_module(files: Sequence[bytes], name: str) -> None:
    """Be the module of this name, one of the files."""
    _install(files)
    __import__(name)
    sys.modules[name].main()


def _install(files: Sequence[bytes]) -> None:
    sys.meta_path.insert(0, _Files({path.decode(): source for path, source in zip(files[::2], files[1::2])}))


def _log(facility: str, name: str, line: str) -> None:
    """As AnsibleModule does."""
    syslog.openlog("ansible-" + name, 0, getattr(syslog, facility, syslog.LOG_USER))
    syslog.syslog(syslog.LOG_INFO, line)

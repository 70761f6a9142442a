# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that forks into runs of ansible's command line tools, so that each does not begin with the same second.

It has imported what reads no configuration: all that `ansible-playbook` imports and that can be had without
`ansible.constants`. The rest goes by environment variables, working directory and ansible.cfg; a fork imports that too,
and Ansible's own plugins, for runs that have these in common. What each run would compile and parse anew, the code and
the metadata of collections, is compiled and parsed once.

Over the socket whose number is its argument it receives run after run: a Request and its three standard streams. It
sends the process id, and how the process ended. With a socket in place of the streams, a fork that is configured like
the request serves there, and says first whether it could be. ansible_run.py is the other side. All end with the socket.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

CODE = Path(__file__).resolve().parents[2] / "build/ansible_collections/netops/ephemeral_ports/plugins"
CONFIGURATION, TOOL = "ansible.constants", "ansible.cli.playbook"
# Not vars: where some are loaded, ansible takes it that all are.
PLUGINS = ("action", "become", "cache", "callback", "connection", "inventory", "lookup", "shell", "strategy")
MOST = 1 << 20


class Request(NamedTuple):
    """namespaces: files of those to enter, in this order."""

    arguments: list[str]
    environment: dict[str, str]
    directory: str
    namespaces: list[str]


# Modules


def preload() -> list[str]:
    """Import what reads no configuration; returns the names of all modules that the tool imports."""
    names = in_child(modules_of_the_tool)
    for name in in_child(lambda: without_configuration(names)):
        importlib.import_module(name)
    assert CONFIGURATION not in sys.modules
    return names


def in_child(function: Callable[[], list[str]]) -> list[str]:
    """What fails, and what is imported to find out, leaves nothing behind in this process."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(writer, "w") as stream:
            json.dump(function(), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        found: list[str] = json.load(stream)
    os.waitpid(pid, 0)
    return found


def modules_of_the_tool() -> list[str]:
    importlib.import_module(TOOL)
    return [*sys.modules]


def without_configuration(names: Iterable[str]) -> list[str]:
    sys.modules[CONFIGURATION] = None  # type: ignore[assignment]  # to import it raises ImportError
    found = []
    for name in names:
        with contextlib.suppress(ImportError, SystemExit):
            importlib.import_module(name)
            found.append(name)
    return found


# Code and metadata

known: dict[tuple[str | bytes, str, int], CodeType | ast.Module] = {}


def compile_once(source: str | bytes, filename: str, mode: str, flags: int = 0, dont_inherit: bool = True) -> Any:
    """compile(), for code that is known by its text. Of syntax trees the file plays no part."""
    found = known.get((source, "" if flags else filename, flags))
    return compile(source, filename, mode, flags, dont_inherit) if found is None else found


def compile_ahead(names: Iterable[str]) -> None:
    """Plugins as they are loaded, and modules with all that travels with them as they are searched for imports."""
    for path in CODE.rglob("*.py"):
        known[path.read_bytes(), str(path), 0] = compile(path.read_bytes(), path, "exec", 0, dont_inherit=True)
    common = [find_spec(name) for name in names if name.startswith("ansible.module_utils.")]
    travels = [*CODE.glob("modules/*.py"), *CODE.rglob("module_utils/**/*.py")]
    for path in [*travels, *(Path(one.origin) for one in common if one and one.origin)]:
        tree = ast.parse(path.read_bytes())
        known[path.read_bytes(), "", ast.PyCF_ONLY_AST] = known[path.read_text(), "", ast.PyCF_ONLY_AST] = tree


def use_what_is_compiled(module: str) -> None:
    vars(importlib.import_module(module))["compile"] = compile_once


def use_what_is_parsed(module: str) -> None:
    """Metadata of collections, of which that of ansible.builtin is long."""
    names = vars(importlib.import_module(module))
    names["_meta_yml_to_dict"] = parse = functools.cache(names["_meta_yml_to_dict"])
    (package,) = importlib.import_module("ansible").__path__
    parse(Path(package, "config", "ansible_builtin_runtime.yml").read_bytes(), ("ansible.builtin", "runtime.yml"))


def keep() -> None:
    """Forks that collect garbage would touch, and so copy, what is there now."""
    gc.collect()
    gc.freeze()


# Configurations


def configure(request: Request) -> bool:
    """Import the rest. False if that fails or prints something, which each run has to do for itself."""
    become(request)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        with contextlib.suppress(Exception, SystemExit):
            import_tool()
            importlib.import_module(TOOL)
            load_plugins()
            sys.stdout.flush()
            return said.seek(0, os.SEEK_END) == 0
    return False


def import_tool() -> None:
    importlib.import_module("ansible.cli")  # which says what is wrong with a configuration
    use_what_is_compiled("ansible.executor.module_common")


def load_plugins() -> None:
    loaders = importlib.import_module("ansible.plugins.loader")
    for kind in PLUGINS:
        for _each in vars(loaders)[f"{kind}_loader"].all(class_only=True):
            pass
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]  # found beside ansible, because a run has not said yet where its collections are


def use_own_directory() -> None:
    """That of the process which this is a fork of goes with the first run that ends."""
    names, name = vars(importlib.import_module(CONFIGURATION)), "DEFAULT_LOCAL_TMP"
    place = Path(names[name]).parent
    place.mkdir(parents=True, exist_ok=True)
    names[name] = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=place)
    atexit.register(shutil.rmtree, names[name], ignore_errors=True)


# Runs


def serve(channel: socket.socket) -> Request | None:
    """Returns in each fork, with what it is to run, and in the process itself at the end."""
    while True:
        message, handed, *_rest = socket.recv_fds(channel, MOST, 3)
        if not message:
            return None
        request = Request(*json.loads(message))
        if (pid := os.fork()) == 0:
            if len(handed) == 3:
                for number, stream in enumerate(handed):
                    os.dup2(stream, number)
                return request
            own = socket.socket(fileno=handed[0])
            could = configure(request)
            keep()
            own.send(b"configured" if could else b"")
            return serve(own) if could else None
        for descriptor in handed:
            os.close(descriptor)
        if len(handed) == 3:
            channel.send(str(pid).encode())
            channel.send(str(os.waitpid(pid, 0)[1]).encode())


def become(request: Request) -> None:
    """What `python -m ansible` would find when it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    for space in [os.open(path, os.O_RDONLY) for path in request.namespaces]:
        if libc.setns(space, 0):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(space)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv[1:] = request.arguments
    sys.path[0] = request.directory


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        compile_ahead(preload())
        use_what_is_compiled("ansible.utils.collection_loader._collection_finder")
        use_what_is_parsed("ansible.utils.collection_loader._collection_finder")
        keep()
        run = serve(inherited)
    if run:
        become(run)
        if CONFIGURATION in sys.modules:
            use_own_directory()
        else:
            import_tool()
        runpy.run_module("ansible", run_name="__main__", alter_sys=True)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()  # what they have cost is then known to who waits for this process

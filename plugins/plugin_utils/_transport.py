# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that only reads goes to a host as a program (_program.py) instead of as AnsiballZ, a third of the cost.

What changes a host stays a module, but its host code is packed as that of a program is, and where it is piped to an
interpreter, that reads it at once. All that ansible-core does around a module stays its own: the interpreter and its
discovery, become, environment, pipelining or a temporary file, check mode, timeout, delegation, and what is made of the
answer. The module is the reference, and what travels wherever anything is uncertain.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants as C  # noqa: N812 - its usual name

from ..module_utils._common.errors import OptionError
from . import _program
from ._border import printable
from ._host_files import HOST_CODE
from ._kept import keep
from ._options import Options

PLUGINS = Path(__file__).parents[1]  # as ansible-core names it
PACKAGE = __name__.rpartition(".plugin_utils.")[0]
# By the name of a module, where its function run() is.
ENTRIES = {"port_usage_info": "_usage.run"}
# Modules whose host code is packed.
PACKED = ("curl_stress", "monitor_command", "namespace_sysctls", "port_users_info", "sysctl_dropin")
# With this value of this variable modules travel, whatever they are.
VARIABLE, MODULE = "ephemeral_ports_transport", "module"
# To ansible-core this is a module, small and with nothing to be put into it, whose interpreter it looks for.
_STUB = "#!/usr/bin/python\n# <<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>\n"


class Built(NamedTuple):
    """A program, path and options of its module, and the stub by which ansible-core finds the interpreter."""

    packed: bytes
    path: Path
    stub: Path
    options: Options


@cache
def built(module: str) -> Built | None:
    """None for a module that always travels itself.

    To be called first where a plugin is loaded, before there are workers: each of them would build it anew.
    """
    if module not in ENTRIES:
        return None
    with tempfile.NamedTemporaryFile("w", dir=C.DEFAULT_LOCAL_TMP, prefix=f"{module}-", delete=False) as file:
        file.write(_STUB)
    options = Options(import_module(f"{PACKAGE}.modules.{module}").ARGUMENTS)
    entry = ENTRIES[module]
    packed = keep(module, sources(), partial(_program.build, entry))
    return Built(packed, PLUGINS / "modules" / f"{module}.py", Path(file.name), options)


@cache
def packed_module(module: str) -> OnlyFile | None:
    """Finds the module as one file, with its host code packed; None for a module that goes as it is.

    To be called first where a plugin is loaded, as built().
    """
    if module not in PACKED:
        return None
    text = keep(f"{module}-module", sources(), partial(_program.build_module, module))
    file = Path(tempfile.mkdtemp(dir=C.DEFAULT_LOCAL_TMP, prefix=f"{module}-"), f"{module}.py")
    file.write_bytes(text)
    return OnlyFile(file)


def sources() -> Iterator[Path]:
    """What a program or a packed module is made of, and by."""
    yield from HOST_CODE.rglob("*.py")
    yield from (PLUGINS / "modules").glob("*.py")
    yield from (Path(__file__).with_name(name) for name in ("_host_files.py", "_lean.py", "_program.py"))


class Program(NamedTuple):
    """A module with its arguments, in both of its forms. loader: arguments of the interpreter that gets the input."""

    file: bytes
    input: bytes
    loader: str


def program_for(module: Built, given: Mapping[str, Any]) -> Program | None:
    """The module with these arguments, as a program; None where the module itself is to travel.

    given: as ansible-core sends them to a module, with what it adds. What is wrong with them the module says.
    """
    spec = module.options.spec
    options = {name: value for name, value in given.items() if not name.startswith("_ansible_")}
    if any(_is_of_the_host(options.get(name)) for name in spec if spec[name]["type"] == "path"):
        return None
    try:
        options = module.options.read(options)
        described = _program.describe_given(options, bool(given["_ansible_check_mode"]), _log(given, options))
    except (OptionError, KeyError, TypeError, ValueError):
        return None
    file, piped = _program.as_file(module.packed, described), _program.as_input(module.packed, described)
    return Program(file, piped, _program.LOADER)


def piped_module(configured: tuple[Any, ...]) -> Program | None:
    """The module that ansible-core has made, as it is; None where it is not as we know it."""
    if len(configured) == 2:
        style, data = (getattr(configured[0], name, None) for name in ("module_style", "b_module_data"))
    elif len(configured) == 4:  # up to ansible-core 2.18
        style, _shebang, data, _path = configured
    else:
        return None
    return Program(data, data, _program.MODULE_LOADER) if style == "new" and isinstance(data, bytes) else None


def in_place_of_stub(configured: tuple[Any, ...], program: bytes, module: Path) -> tuple[Any, ...] | None:
    """What ansible-core has made of the stub, with the program; None where it is not as we know it."""
    if len(configured) == 2 and is_dataclass(configured[0]) and not isinstance(configured[0], type):
        module_bits: Any = configured[0]
        if module_bits.module_style == "new" and hasattr(module_bits, "b_module_data"):
            return replace(module_bits, b_module_data=program), str(module)
    elif len(configured) == 4 and configured[0] == "new":  # up to ansible-core 2.18
        return "new", configured[1], program, str(module)
    return None


class OnlyFile:
    """In place of ansible-core's loaders: whichever module is looked for, this file is found."""

    resolved = True

    def __init__(self, file: Path) -> None:
        self.module_loader = self
        self.plugin_resolved_path = str(file)

    def find_plugin_with_context(self, *_arguments: object, **_options: object) -> OnlyFile:
        return self


def _is_of_the_host(path: object) -> bool:
    """Whether it has parts that only the host can fill in."""
    return isinstance(path, str) and any(sign in path for sign in "~$")


def _log(given: Mapping[str, Any], options: Mapping[str, Any]) -> list[str] | None:
    """As AnsibleModule does."""
    if given["_ansible_no_log"]:
        return None
    words = [given.get("_ansible_target_log_info"), "Invoked with", *(f"{name}={one}" for name, one in options.items())]
    line = printable(" ".join(str(word) for word in words if word))
    return [str(given["_ansible_syslog_facility"]), str(given["_ansible_module_name"]), line]

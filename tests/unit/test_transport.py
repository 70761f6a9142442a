# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a program travels in place of a module, and with what in it."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _program, _transport

OF_ANSIBLE = {
    "_ansible_check_mode": False,
    "_ansible_module_name": "netops.ephemeral_ports.port_usage_info",
    "_ansible_no_log": False,
    "_ansible_syslog_facility": "LOG_AUTH",
    "_ansible_target_log_info": None,
}

# Bytes. More needs a reason: each host gets it for each change.
MOST_OF_A_MODULE = 52_000


def found() -> _transport.Built:
    built = _transport.built("port_usage_info")
    assert built is not None
    return built


def given(**options: Any) -> dict[str, Any] | None:
    """What a program gets; None where the module travels."""
    program = _transport.program_for(found(), {**OF_ANSIBLE, **options})
    if program is None:
        return None
    literal = re.search(r'"GIVEN": (.*)\}\)$', program.file.decode())
    assert literal
    assert ast.literal_eval(literal[1]) == program.input.partition(b"\n")[0].decode()
    sent: dict[str, Any] = json.loads(ast.literal_eval(literal[1]))
    return sent


def test_what_changes_a_host_stays_a_module() -> None:
    assert [name for name in ("sysctl_dropin", "curl_stress", "port_users_info") if _transport.built(name)] == []


@pytest.mark.parametrize("name", _transport.PACKED)
def test_a_module_in_one_file_imports_only_what_ansible_core_puts_in(name: str) -> None:
    found = _transport.packed_module(name)
    assert found is not None
    path = Path(found.plugin_resolved_path)
    text = path.read_text()
    imported = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert (path.name, imported) == (f"{name}.py", ["ansible.module_utils.basic", "binascii"])
    assert len(text) < MOST_OF_A_MODULE


def test_the_reference_goes_as_it_is() -> None:
    assert _transport.packed_module("port_usage_info") is None


def test_it_is_built_once() -> None:
    assert _transport.built("port_usage_info") is _transport.built("port_usage_info")


def test_options_are_checked_on_the_controller() -> None:
    sent = given(max_pools="3", namespaces="all", _ansible_check_mode=True)
    assert sent is not None
    assert (sent["options"]["max_pools"], sent["options"]["namespaces"], sent["check"]) == (3, ["all"], True)
    assert (sent["options"]["detail"], sent["options"]["destination"]) == ("auto", None)


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": 1},
        {"max_pools": "many"},
        {"max_pools": True},
        {"detail": "none"},
        {"path": "~/x.conf"},
        {"state_dir": "$HOME/x"},
    ],
    ids=str,
)
def test_what_is_uncertain_is_left_to_the_module(options: dict[str, Any]) -> None:
    assert given(**options) is None


@pytest.mark.parametrize("missing", ["_ansible_no_log", "_ansible_check_mode"])
def test_an_ansible_core_that_says_less_gets_the_module(missing: str) -> None:
    sent = {name: one for name, one in OF_ANSIBLE.items() if name != missing}
    assert _transport.program_for(found(), sent) is None


def test_the_host_notes_it_as_it_notes_a_module() -> None:
    sent = given(destination="a\0b", _ansible_target_log_info="because")
    assert sent is not None
    facility, name, line = sent["log"]
    assert (facility, name) == ("LOG_AUTH", "netops.ephemeral_ports.port_usage_info")
    assert line.startswith("because Invoked with ")
    assert "destination=a\ufffdb" in line  # syslog takes no NUL


def test_no_log_is_no_log() -> None:
    sent = given(_ansible_no_log=True)
    assert sent is not None
    assert sent["log"] is None


@dataclass(frozen=True)
class Bits:
    b_module_data: bytes
    module_style: str
    shebang: str
    of_a_later_one: int = 7


PATH = Path("/x/port_usage_info.py")


def test_ansible_core_from_2_19_on() -> None:
    bits, path = _transport.in_place_of_stub((Bits(b"stub", "new", "#!/p"), "/stub"), b"program", PATH) or ()
    assert (bits, path) == (Bits(b"program", "new", "#!/p"), str(PATH))


def test_ansible_core_up_to_2_18() -> None:
    done = _transport.in_place_of_stub(("new", "#!/p", b"stub", "/stub"), b"program", PATH)
    assert done == ("new", "#!/p", b"program", str(PATH))


UNKNOWN = (
    (),
    ("new",),
    (Bits(b"", "old", ""), ""),
    ("old", "#!/p", b"", ""),
    ({"module_style": "new"}, ""),
    ("a", "b"),
)


@pytest.mark.parametrize("configured", UNKNOWN, ids=str)
def test_another_ansible_core_gets_the_module(configured: tuple[Any, ...]) -> None:
    assert _transport.in_place_of_stub(configured, b"program", PATH) is None
    assert _transport.piped_module(configured) is None


@pytest.mark.parametrize("configured", [(Bits(b"module", "new", ""), ""), ("new", "#!/p", b"module", "")], ids=str)
def test_a_module_is_piped_as_it_is(configured: tuple[Any, ...]) -> None:
    assert _transport.piped_module(configured) == (b"module", b"module", _program.MODULE_LOADER)


def test_the_stub_stands_for_any_module() -> None:
    loaders = _transport.OnlyFile(Path("/stub"))
    context = loaders.module_loader.find_plugin_with_context("name", "", collection_list=[])
    assert (context.resolved, context.plugin_resolved_path) == (True, "/stub")

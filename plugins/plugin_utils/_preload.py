# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that are loaded once, before there are workers.

Each task of each host runs in a fork of the process that has the callbacks. What is not loaded there yet, each fork
loads anew, for its one task. What no task needs is not loaded: Python compiles plugins of collections in each run.
docs/benchmarks-fleet.md says what that costs.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

from ansible import constants as C  # noqa: N812 - its usual name
from ansible.plugins.loader import (
    become_loader,
    connection_loader,
    filter_loader,
    lookup_loader,
    shell_loader,
    test_loader,
)

PLUGINS = Path(__file__).resolve().parents[1]
PACKAGE = __name__.rpartition(".plugin_utils.")[0]
COLLECTION = "netops.ephemeral_ports"
FILTERS = sorted((PLUGINS / "filter").glob("[!_]*.py"))

# To get one filter or test of Ansible loads them all. And to read the documentation of the lookup, which renders the
# text of a drop-in, takes longer than to use it.
OF_ANSIBLE = (
    (filter_loader, "ansible.builtin.comment"),
    (test_loader, "ansible.builtin.changed"),
    (lookup_loader, "ansible.builtin.template"),
)
# Of these the class alone, for they are made for a host.
OF_A_HOST = ((connection_loader, "ssh"), (become_loader, "sudo"), (shell_loader, "sh"))


@cache
def load() -> None:
    """Of Ansible. By the callback, or else by the first action of ours, which ansible-core loads before its workers."""
    for loader, name in OF_ANSIBLE:
        loader.get(name)
    for loader, name in (*OF_A_HOST, (connection_loader, C.DEFAULT_TRANSPORT)):
        loader.get(name, class_only=True)
    with suppress(ImportError):  # before ansible-core 2.19 there are none
        _load_encoders()


def load_for(action: str) -> None:
    """Of ours, for a task with this action: the action, or the filters that tasks of others may use."""
    collection, _dot, name = action.rpartition(".")
    is_ours = collection in ("", COLLECTION) and (PLUGINS / "action" / f"{name}.py").is_file()
    for one in [f"action.{name}"] if is_ours else [f"filter.{path.stem}" for path in FILTERS]:
        import_module(f"{PACKAGE}.{one}")
    freeze()


def freeze() -> None:
    """What is there now stays: in a worker, the garbage collector would touch, and so copy, all of it in vain."""
    gc.freeze()


def _load_encoders() -> None:
    from ansible.module_utils.common.json import Direction, get_module_decoder, get_module_encoder

    get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    get_module_decoder("legacy", Direction.MODULE_TO_CONTROLLER)

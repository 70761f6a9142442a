# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that are loaded once, before there are workers.

Each task of each host runs in a fork of the process that has the callbacks. What is not loaded there yet, each fork
loads anew, for its one task. docs/benchmarks-fleet.md says what that costs.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

PLUGINS = Path(__file__).resolve().parents[1]
PACKAGE = __name__.rpartition(".plugin_utils.")[0]

# To get one filter or test of Ansible loads them all.
OF_ANSIBLE = (
    (filter_loader, "ansible.builtin.comment"),
    (test_loader, "ansible.builtin.changed"),
    (lookup_loader, "ansible.builtin.template"),
)


def load() -> None:
    for kind in ("action", "filter"):
        for path in sorted((PLUGINS / kind).glob("[!_]*.py")):
            import_module(f"{PACKAGE}.{kind}.{path.stem}")
    for loader, name in OF_ANSIBLE:
        loader.get(name)

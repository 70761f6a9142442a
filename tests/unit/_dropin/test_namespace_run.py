# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wishes that no network namespace meets; tests/integration/test_namespace_sysctls.py has those that one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import namespace_run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.known import Known

SETTINGS = {"net.ipv4.tcp_tw_reuse": "1"}


def run(state_dir: Path, *wishes: dict[str, Any]) -> Any:
    given = [{"settings": SETTINGS, **wish} for wish in wishes]
    asked = {"namespaces": given, "keys": None, "asked_ports": None, "lock_timeout": 1, "state": "present"}
    return namespace_run.run({**asked, "state_dir": str(state_dir)}, True)


def test_all_of_none_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_run, "know", list)
    assert run(tmp_path, {"name": "all"})["namespaces"] == []


def test_one_that_ends_between_finding_and_entering_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Known(Namespace(4, "/absent/net", None), "blue", None)
    monkeypatch.setattr(namespace_run, "know", lambda: [ended])
    (gone,) = run(tmp_path, {"name": "blue"})["namespaces"]
    assert (gone["status"], gone["namespace"]["name"], gone["namespace"]["inode"]) == ("gone", "blue", None)


def test_that_of_the_host_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="own is the one of this host"):
        run(tmp_path, {"name": "own"})

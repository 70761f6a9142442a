# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of other network namespaces, and what becomes of those that end or cannot be entered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import (
    NamespaceError,
    UnsupportedError,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.known import Known
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.owners import Owner
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import others

BLUE = Known(Namespace(11, "/run/netns/blue", None), "blue", None)
WEB = Known(Namespace(12, None, 300), None, Owner("podman", "web1", "a" * 64))
POD = Known(Namespace(13, "/run/netns/cni-7", 400), "cni-7", Owner("pod", "shop/web", "uid", "nginx"), "pause")


def usage(level: str, saturation: float | None = None) -> dict[str, Any]:
    return {"level": level, "pools": [] if saturation is None else [{"saturation": saturation}]}


def observed(monkeypatch: pytest.MonkeyPatch, entries: dict[Known, object], outside: object = None) -> others.Found:
    """entries: by namespace the usage from within, or the error that entering it raises, or observing it there."""
    current: list[object] = []

    @contextlib.contextmanager
    def inside(namespace: Namespace, _proc: str) -> Iterator[None]:
        (entry,) = (value for known, value in entries.items() if known.namespace == namespace)
        if isinstance(entry, NamespaceError):
            raise entry
        current.append(entry)
        yield

    def from_outside(path: str) -> Any:
        assert path == f"/proc/{WEB.namespace.pid}"
        if isinstance(outside, Exception):
            raise outside
        return outside

    monkeypatch.setattr(namespaces, "inside", inside)
    monkeypatch.setattr(namespaces, "cookie", lambda: 4711)

    def within(known: Known, cookie: int | None) -> Any:
        assert (known.namespace in {one.namespace for one in entries}, cookie) == (True, 4711)
        if isinstance(current[-1], Exception):
            raise current[-1]
        return current[-1]

    return others.observe_others(entries, within, from_outside)


def test_the_worst_comes_first_and_each_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: dict[Known, object] = {BLUE: usage("ok"), WEB: usage("critical", 0.6), POD: usage("critical", 0.9)}
    found = observed(monkeypatch, entries)
    assert found.refused == 0
    assert [one["namespace"]["inode"] for one in found.usages] == [13, 12, 11]
    assert found.usages[0]["namespace"] == {
        "own": False,
        "inode": 13,
        "cookie": 4711,
        "name": "cni-7",
        "owner": {"kind": "pod", "name": "shop/web", "id": "uid", "container": "nginx"},
        "pid": 400,
        "program": "pause",
    }
    assert found.usages[2]["namespace"] == {
        "own": False,
        "inode": 11,
        "cookie": 4711,
        "name": "blue",
        "owner": None,
        "pid": None,
        "program": None,
    }


def test_one_that_ends_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    found = observed(monkeypatch, {BLUE: usage("ok"), WEB: NamespaceError("it has ended", ended=True)})
    assert [one["namespace"]["name"] for one in found.usages] == ["blue"]
    assert found.refused == 0


def test_one_that_cannot_be_read_costs_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(5, "Input/output error"), UnsupportedError("no range")):
        found = observed(monkeypatch, {BLUE: error, POD: usage("ok")})
        assert [one["namespace"]["name"] for one in found.usages] == ["cni-7"]
        assert found.refused == 1


def test_one_that_may_not_be_entered_is_observed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = NamespaceError("Operation not permitted", ended=False)
    found = observed(monkeypatch, {BLUE: refused, WEB: refused}, outside=usage("unknown"))
    assert [one["namespace"]["inode"] for one in found.usages] == [12]
    assert found.usages[0]["namespace"]["cookie"] is None
    assert found.refused == 2
    hidden = WEB._replace(namespace=WEB.namespace._replace(inode=None))
    found = observed(monkeypatch, {BLUE: refused, hidden: refused}, outside=usage("unknown"))
    assert found.refused == 1  # it may be the same
    ended = observed(monkeypatch, {WEB: refused}, outside=FileNotFoundError())
    assert ended == others.Found([], 0)

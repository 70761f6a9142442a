# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about random hosts, against what connect() and bind() then really do there."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import probe

from .inside import private
from .network import observed, packed
from .random_hosts import UNUSED, Path, RandomHost, Reality, has_port, random_hosts

BATCHES = [range(first, first + 80) for first in range(0, 400, 80)]


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
@private
def test_the_probe_says_what_programs_meet(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for host in random_hosts(seeds):
        story = "\n".join(host.story)
        said = {path: _ask(path) for path in host.paths}
        binds = {source: probe.dry_bind(packed(source)) for source in host.sources}
        hold_all = probe.binders_hold_all()
        reality = host.meet()
        answers = [(said[path].errno, failed, path) for path, failed in reality.connects.items()]
        answers += [(binds[source].errno, failed, source) for source, failed in reality.binds.items()]
        for answer, failed, question in answers:
            seen[f"{failed}"] += 1
            if answer != failed:
                assert host.is_odd, (question, answer, failed, story)
                assert has_port(answer) is not has_port(failed)
                seen["luck"] += 1
        for path, failed in reality.connects.items():
            assert said[path].lacks == (None if has_port(said[path].errno) else probe.PORT), (path, story)
            if path.to[1] == UNUSED and hold_all is has_port(failed):
                assert host.is_odd, (path, hold_all, failed, story)
            seen[f"held {hold_all}"] += 1
    # The hosts are of every kind, or the test would not say much.
    assert min(seen[kind] for kind in ("0", "99", "98", "held True", "held False")) > 5, seen
    assert seen["luck"] < 5


WAYS = list(itertools.product((True, False), ("netlink", "procfs"), ("auto", "full")))


@pytest.mark.parametrize("number", range(len(WAYS)), ids=lambda number: "-".join(map(str, WAYS[number])))
@private
def test_the_level_says_what_programs_meet(number: int) -> None:
    """Never ok, nor warning, where a connect() fails for want of a port; never exhausted where it succeeds."""
    privileged, method, detail = WAYS[number]
    first = 1000 + 100 * number
    seen: Counter[str] = Counter()
    for host in random_hosts(range(first, first + 100)):
        story = "\n".join(host.story)
        usage = observed(privileged=privileged, method=method, detail=detail, max_pools=100)
        pools = {(one["source"], one["address"], one["port"]): one for one in usage["pools"]}
        reality = host.meet()
        failing = {path: failed for path, failed in reality.connects.items() if not has_port(failed)}
        for path, failed in reality.connects.items():
            pool = pools.get((path.source or path.to[0], *path.to))
            level = pool["level"] if pool else usage["level"]
            seen[level] += 1
            if privileged and not any(one["what"] == "destinations" for one in usage["not_observed"]):
                assert level != "unknown", (path, pool, usage, story)
            if level in ("ok", "warning"):
                assert has_port(failed) or host.is_odd, (path, pool, usage, story)
            elif level == "exhausted" and pool:
                assert not has_port(failed) or host.is_odd, (path, pool, usage, story)
        if failing:
            assert usage["level"] in ("exhausted", "critical", "unknown") or host.is_odd, (usage, failing, story)
        without_udp = _udp_as_said(host, usage, reality, seen)
        unbound = _binds_as_said(host, usage, pools, reality, seen)
        if usage["level"] == "exhausted":
            assert failing or unbound or without_udp or host.is_odd, (usage, reality, story)
        seen["unknown host"] += usage["level"] == "unknown"
    # The hosts are of every kind, or the test would not say much. How many of each, the ages of sockets decide.
    assert min(seen[level] for level in ("ok", "critical", "exhausted")) > 3, seen
    assert min(seen[f"bind {level}"] for level in ("critical", "exhausted")) > 0, seen
    assert seen["udp exhausted"] > 3, seen


def _binds_as_said(host: RandomHost, usage: Any, pools: Any, reality: Reality, seen: Counter[str]) -> list[str]:
    """The sources that have no port for bind() any more, although the host has clients that call it."""
    story = "\n".join(host.story)
    found = []
    for source, failed in reality.binds.items():
        pool = pools.get((source, None, None))
        level = pool["level"] if pool else None
        seen[f"bind {level}"] += 1
        if level in ("ok", "warning") or (host.binders[source] > host.size / 2 and usage["level"] == "ok"):
            assert has_port(failed) or host.is_odd, (source, pool, usage, story)
        elif level == "exhausted":
            assert not has_port(failed) or host.is_odd, (source, pool, usage, story)
            found.append(source)
    return found


def _udp_as_said(host: RandomHost, usage: Any, reality: Reality, seen: Counter[str]) -> bool:
    """Whether UDP is out of ports, and nothing else is said of it than that it is, or is not."""
    level = next((pool["level"] for pool in usage["pools"] if pool["kind"] == "udp"), "ok")
    seen[f"udp {level}"] += 1
    assert (level == "exhausted") is not has_port(reality.udp), (usage, reality, host.story)
    return level == "exhausted"


def _ask(path: Path) -> probe.Answer:
    return probe.dry_connect(path.source and packed(path.source), packed(path.to[0]), path.to[1])

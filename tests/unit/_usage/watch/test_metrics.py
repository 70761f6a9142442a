# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import metrics
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.exposition import write

RECORDED = json.loads((Path(__file__).parents[3] / "simulation/recorded_results.json").read_text())
CRITICAL, IDLE = (RECORDED["usage"][name] for name in ("critical", "idle"))

Samples = dict[str, list[tuple[dict[str, str], float]]]


def told(usage: dict[str, Any], most_pools: int = 5, **common: str) -> Samples:
    collected = metrics.Metrics()
    metrics.add_usage(collected, usage, most_pools)
    metrics.add_run(collected, success=True, ended=1.5, seconds=0.25, cpu=0.125, version="1.0.0")
    found: Samples = {}
    for family in text_string_to_metric_families(write(collected.families(), metrics.PREFIX, common)):
        for sample in family.samples:
            found.setdefault(sample.name.replace(metrics.PREFIX, ""), []).append((sample.labels, sample.value))
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """Of the one sample that has these labels, whatever others it has."""
    (one,) = (number for found, number in samples[name] if labels.items() <= found.items())
    return one


def elsewhere(level: str = "ok", inode: int = 7, name: str | None = "blue") -> dict[str, Any]:
    own = ("kind", "own_level", "kernel", "reserved_in_files", "port_lines", "claims", "journal", "uptime")
    base = CRITICAL if level != "ok" else IDLE
    usage = {name: one for name, one in copy.deepcopy(base).items() if name not in own}
    namespace = {"own": False, "inode": inode, "cookie": None, "name": name, "owner": None, "pid": 5, "program": "sh"}
    return {**usage, "level": level, "namespace": namespace}


def test_a_pool_is_told_with_all_that_an_alert_needs() -> None:
    (pool, *_rest), samples = CRITICAL["pools"], told(CRITICAL)
    one = {"namespace": "own", "kind": pool["kind"], "destination": f"{pool['address']}:{pool['port']}"}
    assert value(samples, "level", namespace="own") == metrics.LEVELS[CRITICAL["own_level"]]
    assert value(samples, "pool_level", **one) == metrics.LEVELS[pool["level"]]
    assert value(samples, "pool_saturation_ratio", **one) == pool["saturation"]
    assert value(samples, "pool_usable_ports", **one) == pool["usable"]
    assert value(samples, "pool_blocked_ports", **one) == pool["blocked"]
    assert value(samples, "pool_sockets", state="TIME_WAIT", **one) == pool["time_wait"]
    assert value(samples, "run_success") == 1
    assert value(samples, "run_timestamp_seconds") == 1.5


def test_what_is_not_expected_has_no_sample() -> None:
    usage = copy.deepcopy(CRITICAL)
    usage["pools"][0]["forecast"].update(seconds_to_critical=None, seconds_to_exhausted=12.5)
    samples = told(usage)
    assert "pool_critical_in_seconds" not in samples
    assert value(samples, "pool_exhausted_in_seconds") == 12.5


def test_a_refused_probe_tells_its_errno() -> None:
    usage = copy.deepcopy(CRITICAL)
    answer = {"errno": 99, "lacks": "port", "source": None, "port": None, "search_us": 2500.0, "asked": 3}
    usage["pools"][0]["probe"] = answer
    samples = told(usage)
    assert value(samples, "pool_probe_errno") == 99
    assert value(samples, "pool_probe_seconds") == 0.0025


def test_only_so_many_pools_are_told_and_the_number_of_the_others() -> None:
    usage = copy.deepcopy(CRITICAL)
    usage["pools"] = [{**usage["pools"][0], "port": port} for port in range(1, 31)]
    samples = told(usage, most_pools=10)
    assert len(samples["pool_saturation_ratio"]) == 10
    assert value(samples, "pools_left_out", kind="connect") == 20


def test_two_namespaces_of_one_name_are_told_apart() -> None:
    """Two samples of the same labels would cost the whole file."""
    samples = told({**IDLE, "namespaces": [elsewhere(inode=7), elsewhere(inode=8)], "namespaces_observed": 2})
    names = [labels["namespace"] for labels, _value in samples["level"]]
    assert names == ["own", "netns blue", "netns blue (8)"]


def test_an_idle_namespace_costs_few_samples() -> None:
    alone = told(IDLE)
    samples = told({**IDLE, "namespaces": [elsewhere(inode=inode, name=str(inode)) for inode in range(200)]})
    added = sum(map(len, samples.values())) - sum(map(len, alone.values()))
    assert added <= 200 * 4


def test_the_owner_of_a_namespace_is_told() -> None:
    owner = {"kind": "pod", "name": "shop/cart-1", "id": "x", "container": None}
    other = elsewhere("critical")
    other["namespace"]["owner"] = owner
    samples = told({**IDLE, "level": "critical", "namespaces": [other]})
    assert value(samples, "level", namespace="pod shop/cart-1") == 2
    assert value(samples, "level", namespace="own") == 0
    assert value(samples, "namespace_info", owner="shop/cart-1", owner_kind="pod") == 1


def test_findings_are_counted_by_identifier() -> None:
    finding = {"id": "nat-failures", "severity": "warning"}
    samples = told({**IDLE, "findings": [finding, finding]})
    assert value(samples, "findings", finding="nat-failures", severity="warning") == 2


def test_common_labels_are_on_every_sample() -> None:
    samples = told(CRITICAL, inventory_hostname="web1")
    assert {labels.get("inventory_hostname") for found in samples.values() for labels, _value in found} == {"web1"}


@pytest.mark.parametrize("name", RECORDED["kernels"])
def test_every_recorded_kernel_can_be_told(name: str) -> None:
    assert told(RECORDED["kernels"][name])["level"]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics and rules, as Prometheus' own tools see them."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import metrics
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch.exposition import write

from .monitoring_stack import RULES, programs

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "monitoring/tests/ephemeral_ports.yml"
RECORDED = json.loads((ROOT / "tests/simulation/recorded_results.json").read_text())["usage"]


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    done = subprocess.run(
        [programs() / "promtool", *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", RECORDED)
def test_promtool_has_no_complaint_of_the_metrics(name: str) -> None:
    collected = metrics.Metrics()
    metrics.add_usage(collected, RECORDED[name], 10)
    metrics.add_run(collected, success=True, ended=1.5, seconds=0.25, cpu=0.125, version="1.0.0")
    text = write(collected.families(), metrics.PREFIX, {"inventory_hostname": "a"})
    assert promtool("check", "metrics", text=text) == ""


def test_rules_are_sound_and_every_alert_fires_when_it_should() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", TESTS)


def test_every_alert_is_tested_to_fire_to_be_silent_and_to_resolve() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][1]["rules"]
    cases: dict[str, list[list[set[str]]]] = {}
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for name in {one["alertname"] for one in test["alert_rule_test"]}:
            times = [one.get("exp_alerts") or () for one in test["alert_rule_test"] if one["alertname"] == name]
            fires = [{json.dumps(alert["exp_labels"], sort_keys=True) for alert in alerts} for alerts in times]
            cases.setdefault(name, []).append(fires)
    assert cases.keys() == {rule["alert"] for rule in rules}
    for name, fired in cases.items():
        assert any(not one[0] and any(a - b for a, b in pairwise(one)) for one in fired), name


def test_rules_read_metrics_that_there_are() -> None:
    known = {f"{metrics.PREFIX}{family.name}" for family in metrics.Metrics().families()}
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    read = {name for rule in rules for name in re.findall(r"\bephemeral_ports_\w+", rule)}
    assert read
    assert read <= known


def test_every_runbook_is_a_section_of_a_guide() -> None:
    links = re.findall(r"runbook_url: \S+/docs/(\S+)#(\S+)", RULES.read_text())
    assert len(links) == RULES.read_text().count("- alert:")
    for page, anchor in links:
        heads = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make monitoring/dashboards/ephemeral_ports.json, a dashboard for Grafana, by Grafana's own typed library.

    python scripts/make_dashboard.py

A test compares the file with what this makes, and tries every query against a real Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from dashboard_file import FILE
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HOST = 'inventory_hostname=~"$host"'
POOL = "{{inventory_hostname}} {{namespace}}: {{destination}}"
GREEN, YELLOW, ORANGE, RED, GREY = "green", "yellow", "orange", "red", "#808080"
LEVELS = {"-1": ("unknown", GREY), "0": ("ok", GREEN), "1": ("warning", YELLOW), "2": ("critical", ORANGE),
          "3": ("exhausted", RED)}  # fmt: skip

# Trouble within so many seconds is at hand, within ten times as many it is near.
SOON_S = 60

Panel = TypeVar("Panel", stat.Panel, timeseries.Panel)


def main() -> None:
    FILE.write_text(make())


def make() -> str:
    board = (
        dashboard.Dashboard("Ephemeral ports")
        .uid("netops-ephemeral-ports")
        .description("Which hosts run out of local ports, towards which destinations, and how soon.")
        .tags(["netops.ephemeral_ports"])
        .time("now-3h", "now")
        .refresh("30s")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("host")
            .label("Host")
            .datasource(SOURCE)
            .query("label_values(ephemeral_ports_level, inventory_hostname)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    for title, panels in _rows():
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(panel)
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _rows() -> Iterator[tuple[str, list[Any]]]:
    worst = f"max by (inventory_hostname) (ephemeral_ports_level{{{HOST}}})"
    yield (
        "Now",
        [
            _levels(_stat("Worst level", f"max(ephemeral_ports_level{{{HOST}}})", 6)),
            _stat("Hosts on which connects fail", f"count({worst} == 3) or vector(0)", 6, _bad_from(1)),
            _stat("Hosts in trouble", f"count({worst} >= 1) or vector(0)", 6, _bad_from(1, ORANGE)),
            _stat("Soonest without a port", f"min(ephemeral_ports_pool_exhausted_in_seconds{{{HOST}}})", 6)
            .unit("s")
            .thresholds(_steps((0, RED), (SOON_S, ORANGE), (10 * SOON_S, GREEN)))
            .no_value("none expected"),
            _table("Most used pools", f"topk(20, ephemeral_ports_pool_saturation_ratio{{{HOST}}})"),
        ],
    )
    yield (
        "Pools",
        [
            _course("Saturation", f"topk(10, ephemeral_ports_pool_saturation_ratio{{{HOST}}})", POOL)
            .unit("percentunit")
            .min(0)
            .thresholds(_steps((0, GREEN), (0.4, YELLOW), (0.5, ORANGE), (1, RED)))
            .thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)),
            _course(
                "Connections closed per second", f"topk(10, ephemeral_ports_pool_closed_per_second{{{HOST}}})", POOL
            ),
            _course("Sockets by state", f"sum by (state) (ephemeral_ports_pool_sockets{{{HOST}}})", "{{state}}"),
            _course("Seconds until no port is left", f"ephemeral_ports_pool_exhausted_in_seconds{{{HOST}}}", POOL).unit(
                "s"
            ),
            _course("How long the kernel searches", f"ephemeral_ports_pool_probe_seconds{{{HOST}}}", POOL).unit("s"),
            _course(
                "Pools of NAT",
                f'topk(10, ephemeral_ports_pool_saturation_ratio{{kind="snat",{HOST}}})',
                "{{inventory_hostname}}: {{source}} to {{destination}}",
            )
            .unit("percentunit")
            .min(0),
        ],
    )
    yield (
        "Network namespaces and findings",
        [
            _levels(
                _course("Level", f"topk(10, ephemeral_ports_level{{{HOST}}})", "{{inventory_hostname}} {{namespace}}")
            ),
            _course("Findings", f"sum by (finding) (ephemeral_ports_findings{{{HOST}}})", "{{finding}}"),
        ],
    )
    yield (
        "The watching itself",
        [
            _course(
                "Seconds since the last run",
                f"time() - ephemeral_ports_run_timestamp_seconds{{{HOST}}}",
                "{{inventory_hostname}}",
            ).unit("s"),
            _course("CPU of a run", f"ephemeral_ports_run_cpu_seconds{{{HOST}}}", "{{inventory_hostname}}").unit("s"),
        ],
    )


def _query(expression: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)


def _stat(title: str, expression: str, span: int, steps: dashboard.ThresholdsConfig | None = None) -> stat.Panel:
    panel = stat.Panel().title(title).datasource(SOURCE).with_target(_query(expression).instant()).span(span).height(4)
    return panel.thresholds(steps or _steps((0, GREEN)))


def _course(title: str, expression: str, legend: str) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).datasource(SOURCE).with_target(_query(expression, legend))
    return panel.span(12).height(8).fill_opacity(10).show_points(common_models.VisibilityMode.NEVER)


def _table(title: str, expression: str) -> table.Panel:
    query = _query(expression).instant().format(prometheus_models.PromQueryFormat.TABLE)
    hidden = dict.fromkeys(("Time", "__name__", "instance", "job"), True)
    organize = models.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    panel = table.Panel().title(title).datasource(SOURCE).with_target(query).with_transformation(organize)
    return panel.unit("percentunit").span(24).height(9)


def _levels(panel: Panel) -> Panel:
    words = {
        value: models.ValueMappingResult(text=word, color=colour, index=index)
        for index, (value, (word, colour)) in enumerate(LEVELS.items())
    }
    steps = _steps(*((int(value), colour) for value, (_word, colour) in LEVELS.items()))
    return panel.mappings([models.ValueMap(options=words)]).thresholds(steps)


def _bad_from(number: float, colour: str = RED) -> dashboard.ThresholdsConfig:
    return _steps((0, GREEN), (number, colour))


def _steps(*steps: tuple[float, str]) -> dashboard.ThresholdsConfig:
    first, *rest = steps
    found = [
        models.Threshold(value=None, color=first[1]),
        *(models.Threshold(value=one, color=two) for one, two in rest),
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


if __name__ == "__main__":
    main()

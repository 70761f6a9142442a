# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules document as their result is what crosses the border to the controller."""

from __future__ import annotations

from types import ModuleType
from typing import Any, get_type_hints

import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.modules import curl_stress, port_usage_info, sysctl_dropin
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _model

# What ansible-core makes of a task that changes something.
OF_THE_TASK = {"changed", "diff"}


@pytest.mark.parametrize(
    ("module", "result"),
    [
        (port_usage_info, _model.Usage),
        (sysctl_dropin, _model.ApplyResult),
        (curl_stress, _model.LoadResult),
    ],
)
def test_every_field_is_documented(module: ModuleType, result: type[Any]) -> None:
    documented = yaml.safe_load(module.RETURN)
    assert documented.keys() - OF_THE_TASK == get_type_hints(result).keys() - OF_THE_TASK
    assert documented["kind"]["sample"] == get_type_hints(result)["kind"].__args__[0]


@pytest.mark.parametrize(
    ("module", "field", "part"),
    [
        (port_usage_info, "pools", _model.Pool),
        (port_usage_info, "findings", _model.Finding),
        (port_usage_info, "kernel", _model.Kernel),
        (curl_stress, "errors", _model.LoadError),
        (curl_stress, "connect_ms", _model.ConnectTimes),
        (curl_stress, "time_wait", _model.Counted),
    ],
)
def test_every_part_is_documented(module: ModuleType, field: str, part: type[Any]) -> None:
    documented = yaml.safe_load(module.RETURN)[field]
    fields = get_type_hints(part).keys()
    assert documented["contains"].keys() == fields
    samples = documented["sample"] if isinstance(documented["sample"], list) else [documented["sample"]]
    assert all(sample.keys() == fields for sample in samples)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variable that names a NAT gateway: what it may be, what it leaves open, and that no host has a say in it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils import _gateway
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._gateway import (
    PRESETS,
    behind_nat,
    capacity,
    first_drop,
    read_gateway,
)
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._host_action import Answer, HostAction

ROOT = Path(__file__).resolve().parents[2]


def read(**value: object) -> Any:
    return read_gateway({"gateway": "nat-eu1", **value}, "web1")


@pytest.mark.parametrize("value", [None, False, "", {}])
def test_a_host_that_is_behind_none(value: object) -> None:
    assert read_gateway(value, "web1") is None


def test_what_is_left_open_is_that_of_linux_or_of_the_preset() -> None:
    assert read() == {
        "name": "nat-eu1",
        "preset": None,
        "ports": 64_512,
        "addresses": 1,
        "ports_per": "gateway",
        "hold_seconds": 120.0,
        "drops_from": 0.77,
        "inside": [],
        "outside": [],
    }
    aws = read(preset="aws_nat_gateway", addresses=2)
    assert (capacity(aws), aws["hold_seconds"], aws["drops_from"]) == (110_000, 60.0, 1.0)
    assert read(preset="gcp_cloud_nat", ports=1024, hold_seconds="45")["hold_seconds"] == 45.0
    assert (read(preset="gcp_cloud_nat")["ports_per"], read(preset="azure_load_balancer")["hold_seconds"]) == (
        "host",
        120.0,
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nat-eu1", "expected a dictionary, as in {gateway: nat-eu1,"),
        ({"ports": 400}, "gateway has to name the gateway"),
        ({"gateway": "x", "port": 400}, "it has no port; what it has is gateway, preset, ports,"),
        ({"gateway": "x", "preset": "aws"}, "preset has to be one of linux_masquerade, "),
        ({"gateway": "x", "ports": 0}, "ports has to be a whole number from 1 to 65535"),
        ({"gateway": "x", "ports": True}, "ports has to be a whole number from 1 to 65535"),
        ({"gateway": "x", "ports": 1.5}, "ports has to be a whole number from 1 to 65535"),
        ({"gateway": "x", "hold_seconds": "long"}, "hold_seconds has to be a number from 0 to 86400"),
        ({"gateway": "x", "hold_seconds": float("nan")}, "hold_seconds has to be a number from 0 to 86400"),
        ({"gateway": "x", "ports_per": "vm"}, "ports_per has to be gateway, whose hosts share the ports, or host"),
        ({"gateway": "x", "inside": ["10.0.0.1/8"]}, "inside has to be a list of networks, such as 203.0.113.0/24: "),
        ({"gateway": "x", "outside": 8}, "outside has to be a list of networks"),
        ({"gateway": "x", "inside": ["::/0"], "outside": ["::/0"]}, "::/0 is both inside and outside"),
    ],
)
def test_one_clear_error(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        read_gateway(value, "web1")
    assert str(raised.value).startswith(f"ephemeral_ports_nat of web1 is {value!r}: ")


def test_what_the_module_is_told() -> None:
    shared = behind_nat(read(inside=["203.0.113.0/24"]))
    assert shared == {"gateway": "nat-eu1", "inside": ["203.0.113.0/24"], "outside": [], "enough": 0}
    # 12 sockets cannot hold 40% of 64 ports, even if as many were closed in the minute before.
    assert behind_nat(read(preset="gcp_cloud_nat_120s"))["enough"] == 12
    defaults = {name: spec.get("default") for name, spec in port_usage_info.ARGUMENTS.items()}
    behind = check_options({**defaults, "behind_nat": shared}).behind
    assert behind is not None
    assert b"\xcb\0\x71\x07" not in behind.networks


@given(st.integers(1, 65_535), st.integers(1, 65_535))
def test_the_more_ports_the_earlier_a_share_of_them_is_not_found(one: int, other: int) -> None:
    assert 0.77 <= first_drop(max(one, other)) <= first_drop(min(one, other)) <= 1


def test_every_preset_is_in_the_guide_with_its_source() -> None:
    table = (ROOT / "docs/nat.md").read_text()
    for name, preset in PRESETS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", table, re.MULTILINE)
        assert f"| {preset.ports:,} |" in row
        assert preset.source in row
        assert preset.date in row


class Action(HostAction):
    """A host that claims to be behind a gateway of its own choice."""

    def __init__(self) -> None:
        loader = DataLoader()
        super().__init__(SimpleNamespace(), None, None, loader, Templar(loader=loader), None)
        self.told: dict[str, Any] = {}

    def run(self, tmp: str | None = None, task_vars: Any = None) -> Any:
        raise NotImplementedError

    def call(self, module: str, arguments: Any, kind: Any, task_vars: Any) -> Any:  # noqa: ARG002 - part of the call
        self.told = arguments
        return Answer({**RECORDED["usage"]["idle"], "gateway": read(ports=1)})


def test_what_a_host_says_of_its_gateway_does_not_count() -> None:
    action = Action()
    answer = action.observe({"detail": "full"}, {"inventory_hostname": "web1"})
    assert answer.result
    assert (answer.result["gateway"], action.told) == (None, {"detail": "full"})
    answer = action.observe({}, {"inventory_hostname": "web1", _gateway.VARIABLE: {"gateway": "nat-eu1", "ports": 400}})
    assert answer.result
    assert answer.result["gateway"] == read(ports=400)
    assert action.told["behind_nat"]["gateway"] == "nat-eu1"


def test_a_wrong_value_fails_the_host() -> None:
    with pytest.raises(AnsibleActionFail, match=r"^ephemeral_ports_nat of web1 is 'nat': expected a dictionary"):
        Action().observe({}, {"inventory_hostname": "web1", _gateway.VARIABLE: "nat"})

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python 3.6 made of recorded kernels, and the controller of that. molecule.yml says what this cannot prove."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "results"
REPLAY = Path(__file__).parents[1] / "files" / "replay.py"

OLD_KERNELS = ["3.10.108", "4.4.178", "4.9.229"]
NEW_KERNELS = ["5.10.0", "6.12.107", "6.18.44"]
RECYCLE, REUSE = "net.ipv4.tcp_tw_recycle", "net.ipv4.tcp_tw_reuse"


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


@pytest.fixture(scope="module", autouse=True)
def _python36() -> None:
    if not (RESULTS / "python.json").exists():
        pytest.skip("NOT RUN: no Python 3.6 was found; set MOLECULE_LEGACY_IMAGE to an image that has one")


@pytest.fixture(scope="module")
def observed() -> Any:
    return result("observed.json")


@pytest.fixture(scope="module")
def applied() -> Any:
    return result("applied.json")


def setting(kernel: str, case: str, policy: str, key: str) -> dict[str, Any]:
    settings = result("plans.json")[kernel][case][policy]["settings"]
    return next(one for one in settings if one["key"] == key)


def carried(kernel: str, case: str, policy: str) -> dict[str, str]:
    return {one["key"]: one["wanted"] for one in result("plans.json")[kernel][case][policy]["dropin"]}


def test_it_was_python_36() -> None:
    assert result("python.json").startswith("3.6.")


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_python_36_sees_what_the_controllers_python_sees(observed: Any, kernel: str) -> None:
    here = json.loads(json.dumps(runpy.run_path(str(REPLAY))["observe_all"]()))
    assert observed[kernel] == here[kernel]


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_netlink_and_procfs_agree(observed: Any, kernel: str) -> None:
    netlink, procfs = (_but_for_ages(observed[kernel]["as recorded"][method]) for method in ("netlink", "procfs"))
    said_of_the_method = {name: procfs[name] for name in ("method", "complete")}
    assert {**netlink, **said_of_the_method} == procfs


def _but_for_ages(usage: dict[str, Any]) -> dict[str, Any]:
    """The two were recorded some seconds apart."""
    ages = ("rate", "trend", "forecast", "longest_left_seconds")
    pools = [{name: value for name, value in pool.items() if name not in ages} for pool in usage["pools"]]
    return {**usage, "pools": pools, "findings": [one for one in usage["findings"] if not one["destination"]]}


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_the_recorded_sockets_are_counted(observed: Any, kernel: str) -> None:
    usage = observed[kernel]["as recorded"]["netlink"]
    assert usage["listening_ports"] == {"tcp": [8080, 9090, 40050], "udp": [], "udp_clients": []}
    worst = usage["pools"][0]
    assert (worst["address"], worst["port"]) == ("127.0.0.1", 8080)
    assert (worst["time_wait"], worst["live"], worst["states"]["FIN_WAIT2"]) == (31, 5, 2)


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_what_such_a_kernel_can_do(observed: Any, kernel: str) -> None:
    facts = observed[kernel]["as recorded"]["procfs"]["kernel"]
    assert facts["release"] == kernel
    assert facts["tcp_tw_recycle"] == {"supported": True, "how": f"{RECYCLE} exists"}
    assert facts["tcp_tw_reuse"]["modes"] == [0, 1]
    assert facts["reuse_delay"]["milliseconds"] == 2000
    assert facts["two_pass_port_search"]["supported"] == (kernel == "4.9.229")


@pytest.mark.parametrize("method", ["netlink", "procfs"])
@pytest.mark.parametrize("kernel", OLD_KERNELS)
@pytest.mark.parametrize(("finding", "only_in"), [("recycle-on", "recycle on"), ("reuse-two-means-one", "reuse two")])
def test_a_dangerous_or_misleading_value_is_found(
    observed: Any, kernel: str, method: str, finding: str, only_in: str
) -> None:
    cases = observed[kernel]
    found = [name for name, case in cases.items() if finding in [one["id"] for one in case[method]["findings"]]]
    assert found == [only_in]


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_recycle_is_left_alone_unless_asked_for(kernel: str) -> None:
    one = setting(kernel, "as recorded", "default", RECYCLE)
    assert (one["action"], one["wanted"]) == ("keep", None)
    assert carried(kernel, "as recorded", "default")[REUSE] == "1"


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_recycle_is_refused_without_acceptance(kernel: str) -> None:
    one = setting(kernel, "as recorded", "asked", RECYCLE)
    assert (one["action"], one["wanted"]) == ("refuse", None)
    assert "accept_risk" in one["reason"]
    assert RECYCLE not in carried(kernel, "as recorded", "asked")


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_recycle_is_set_when_asked_for_and_accepted_by_name(kernel: str) -> None:
    assert setting(kernel, "as recorded", "asked and accepted", RECYCLE)["action"] == "set"
    assert carried(kernel, "as recorded", "asked and accepted")[RECYCLE] == "1"


@pytest.mark.parametrize(
    ("kernel", "case"),
    [(kernel, "as recorded") for kernel in NEW_KERNELS] + [(kernel, "in a container") for kernel in OLD_KERNELS],
)
def test_where_recycle_is_missing_it_is_unsupported_even_if_accepted(kernel: str, case: str) -> None:
    one = setting(kernel, case, "asked and accepted", RECYCLE)
    assert (one["action"], one["wanted"]) == ("unsupported", None)
    assert ("Not visible" in one["reason"]) == (kernel in OLD_KERNELS)
    assert RECYCLE not in carried(kernel, case, "asked and accepted")


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_reuse_two_is_refused_where_it_would_mean_one(kernel: str) -> None:
    assert setting(kernel, "as recorded", "reuse two", REUSE)["action"] == "refuse"


@pytest.mark.parametrize("kernel", OLD_KERNELS)
def test_file_and_values_are_set_and_check_mode_had_said_so(applied: Any, kernel: str) -> None:
    run = applied[kernel]
    wanted = carried(kernel, "as recorded", "asked and accepted")
    assert {RECYCLE, REUSE} <= wanted.keys()
    assert {key: run["values"][key] for key in wanted} == wanted
    assert all(f"\n{key} = {value}\n" in run["written"] for key, value in wanted.items())
    assert run["foretold"] == run["done"]
    assert run["untouched_by_check_mode"]


@pytest.mark.parametrize("kernel", OLD_KERNELS + NEW_KERNELS)
def test_a_second_run_changes_nothing_and_the_way_back_leads_to_where_it_began(applied: Any, kernel: str) -> None:
    assert applied[kernel]["changed"] == [True, True, False]
    assert applied[kernel]["rolled_back"]

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TIME_WAIT that does not last for 60 s: kernels of vendors, and tcp_tw_recycle, as text in /proc."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.files import Files
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.live_by import Search
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.observe import (
    Host,
    observe_namespace,
    with_others,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.waiting import Waiting
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from ..recorded import ROOT

DEFAULTS = {name: spec.get("default") for name, spec in port_usage_info.ARGUMENTS.items()}
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
VENDOR, OLD = "5.10.134-16.al8.x86_64", "3.10.108"


def observed(tmp_path: Path, release: str, left_ms: Iterable[float], **sysctls: str) -> dict[str, Any]:
    """The usage of a host that has sockets in TIME_WAIT with so much left, towards 10.0.0.2:443.

    Every second port comes first, as connect() has it.
    """
    proc = tmp_path / "proc"
    shutil.copytree(ROOT / (OLD if release == OLD else "5.10.0") / "proc", proc)
    values: dict[str, str] = {"ip_local_port_range": "32768\t60999", "tcp_tw_reuse": "0", **sysctls}
    for key, value in values.items():
        (proc / f"sys/net/ipv4/{key}").write_text(f"{value}\n")
    low, high = map(int, values["ip_local_port_range"].split())
    ports = (*range(low, high + 1, 2), *range(low + 1, high + 1, 2))
    rows = (
        f"{number:4}: 0100000A:{ports[number]:04X} 0200000A:01BB 06 00000000:00000000 03:{int(left) // 10:08X} "
        "00000000     0        0 0 3 0000000000000000\n"
        for number, left in enumerate(left_ms)
    )
    (proc / "net/tcp").write_text(HEAD + "".join(rows))
    (proc / "net/tcp6").write_text(HEAD)
    options = check_options({**DEFAULTS, "method": "procfs", "detail": "full", "probe": "never"})
    return with_others(observe_namespace(options, Host(release, 1e6, Search()), Files(PortSet(), []), str(proc)), [])


def steady(rate: float, lasts_ms: int) -> list[float]:
    """What is left for sockets that were closed at a rate per second for as long as TIME_WAIT lasts."""
    return [number * 1000 / rate for number in range(int(rate * lasts_ms / 1000))]


def said(usage: dict[str, Any]) -> str:
    return " ".join(" ".join(describe(usage)).split())


def test_a_vendor_has_made_it_a_sysctl(tmp_path: Path) -> None:
    """Alibaba Cloud Linux, tcp_tw_timeout = 5: 20,000 sockets in TIME_WAIT are 4,000 closed per second."""
    usage = observed(tmp_path, VENDOR, steady(4000, 5000), tcp_tw_timeout="5")
    assert usage["kernel"]["time_wait"] == {"milliseconds": 5000, "how": keys.TW_TIMEOUT}
    (pool,) = usage["pools"]
    assert (pool["level"], pool["blocked"]) == ("critical", 20000)
    assert (pool["hold_seconds"], pool["time_wait_seconds"]) == (5.0, 5.0)
    assert pool["rate"] == {name: pytest.approx(4000, rel=0.02) for name in ("last_1s", "last_10s", "last_60s")}
    assert pool["trend"] == "steady"
    assert pool["forecast"]["saturation"] == pytest.approx(20000 / 28232, rel=0.02)
    assert pool["forecast"]["seconds_to_exhausted"] is None
    assert "blocks its port for 5 s (tcp_tw_reuse is 0, tcp_tw_timeout is 5)" in said(usage)
    assert "at most 5646 new connections per second" in said(usage)
    plan = make_plan(usage, {})
    assert plan["sustainable_rate"]["before"] == pytest.approx(28232 / 5, abs=0.1)
    assert "not 5 s" in next(one["reason"] for one in plan["settings"] if one["key"] == keys.TW_REUSE)


def test_longer_ones_of_before_are_no_closes_of_now(tmp_path: Path) -> None:
    """tcp_tw_timeout was lowered from 60 to 5 a moment ago: what has more left was closed before."""
    left = [*steady(100, 5000), *(20000 + 10 * number for number in range(3000))]
    (pool,) = observed(tmp_path, VENDOR, left, tcp_tw_timeout="5")["pools"]
    assert pool["blocked"] == 3500
    assert pool["rate"]["last_1s"] == pytest.approx(100, rel=0.1)
    assert pool["rate"]["last_60s"] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("timeout", [90, 240, 600])
def test_it_may_last_longer(tmp_path: Path, timeout: int) -> None:
    usage = observed(tmp_path, VENDOR, steady(25, timeout * 1000), tcp_tw_timeout=str(timeout))
    (pool,) = usage["pools"]
    assert (pool["blocked"], pool["hold_seconds"]) == (25 * timeout, timeout)
    assert pool["rate"] == {name: pytest.approx(25, rel=0.1) for name in ("last_1s", "last_10s", "last_60s")}
    assert f"blocks its port for {timeout} s" in said(usage)


def test_more_left_than_there_is_of_it(tmp_path: Path) -> None:
    """A kernel that calls the key otherwise, or hides it: what a socket has left is believed."""
    usage = observed(tmp_path, "4.19.91-x", steady(20, 120_000))
    assert usage["kernel"]["time_wait"]["milliseconds"] == pytest.approx(120_000, abs=4096)
    assert "seen: a socket in TIME_WAIT has" in usage["kernel"]["time_wait"]["how"]
    assert usage["pools"][0]["rate"]["last_60s"] == pytest.approx(20, rel=0.1)


def test_a_short_one_without_a_key_is_said(tmp_path: Path) -> None:
    """Nothing tells a load that ended from a TIME_WAIT that is short: both are named."""
    usage = observed(tmp_path, "4.19.91-x", steady(4000, 5000))
    (pool,) = usage["pools"]
    assert pool["longest_left_seconds"] == pytest.approx(5, abs=0.3)
    assert "No socket in TIME_WAIT has more than 5 s left" in said(usage)


def test_recycle_is_no_age_of_59_seconds(tmp_path: Path) -> None:
    """3.10 with tcp_tw_recycle = 1: 150 per second stay for 3.5 RTO of 200 ms."""
    usage = observed(tmp_path, OLD, steady(150, 700), tcp_tw_recycle="1")
    (pool,) = usage["pools"]
    assert (pool["hold_seconds"], pool["time_wait_seconds"]) == (0.7, 0.7)
    assert pool["rate"]["last_1s"] == pytest.approx(150, rel=0.1)
    assert pool["trend"] == "steady"
    assert pool["forecast"]["saturation"] == pytest.approx(105 / 28232, rel=0.1)
    assert "blocks its port for 0.7 s" in said(usage)


def test_recycle_leaves_connections_without_timestamps_alone(tmp_path: Path) -> None:
    (pool,) = observed(tmp_path, OLD, steady(150, 60000), tcp_tw_recycle="1")["pools"]
    assert (pool["hold_seconds"], pool["rate"]["last_10s"]) == (60.0, pytest.approx(150, rel=0.05))


def test_recycle_over_a_long_way(tmp_path: Path) -> None:
    """A round trip of 300 ms: an RTO of about 0.5 s."""
    (pool,) = observed(tmp_path, OLD, steady(150, 1750), tcp_tw_recycle="1")["pools"]
    assert pool["hold_seconds"] == pytest.approx(1.75, abs=0.13)
    assert pool["rate"]["last_1s"] == pytest.approx(150, rel=0.1)


@pytest.mark.parametrize(("release", "words"), [(VENDOR, "1 s"), (OLD, "2 s")])
def test_findings_and_plan_name_the_same_delay(tmp_path: Path, release: str, words: str) -> None:
    usage = observed(tmp_path, release, steady(400, 60000))
    (finding,) = [one for one in usage["findings"] if one["id"] == "destination-critical"]
    assert f"after {words} (tcp_tw_reuse)" in finding["remedy"]
    plan = make_plan(usage, {})
    assert f"again {words} after" in next(one["reason"] for one in plan["settings"] if one["key"] == keys.TW_REUSE)


def test_every_length_gives_the_rate() -> None:
    dice = random.Random(13)
    for lasts_ms in (1000, 5000, 30000, 60000):
        ages = [dice.uniform(0, lasts_ms) for _number in range(20 * lasts_ms // 1000 * 10)]
        waiting = Waiting(Counter(int(lasts_ms - age) >> 8 for age in ages), lasts_ms, lasts_ms)
        assert waiting.current_rate() == pytest.approx(200, rel=0.15)
        assert waiting.blocking == len(ages)


def test_the_kernel_says_how_it_is_known() -> None:
    sysctls: dict[str, str | None] = dict.fromkeys(keys.NAMES)
    assert features.describe("6.18.0", sysctls)["time_wait"]["milliseconds"] == 60000


def test_a_client_that_keeps_failing_has_not_ended(tmp_path: Path) -> None:
    """Every port is in TIME_WAIT and none was closed for 20 s: attempts fail, so that none can be."""
    left = [10000 + 30 * number for number in range(1000)]
    usage = observed(tmp_path, OLD, left, ip_local_port_range="32768\t33767")
    (pool,) = usage["pools"]
    assert (pool["level"], pool["rate"]["last_10s"], pool["trend"]) == ("exhausted", 0.0, None)
    assert pool["forecast"]["saturation"] >= 1
    assert "Attempts that fail leave nothing to count, so more may be wanted than this rate." in said(usage)

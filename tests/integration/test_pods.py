# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two pods of a real containerd, of which one runs out of ports, seen from the host."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import private_namespaces
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from . import cri
from .inside import in_child
from .neighbours import EXHAUSTED, alone, become_nobody, observe

RANGE = {"net.ipv4.ip_local_port_range": "20000 20099"}
PROGRAM = ["/bin/busybox", "chroot", "/machine", os.path.realpath(sys.executable), "-c"]
WAIT = "import signal; print('ready', flush=True); signal.pause()"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make pods")
def test_a_pod_without_ports_is_found_by_its_name() -> None:
    unpacked, uids = cri.programs(), Path(f"/tmp/pods.{os.getpid()}")
    try:
        two_pods(unpacked, uids)
    finally:
        if uids.exists():
            cri.remove_cgroups(uids.read_text().split())
            uids.unlink()


def two_pods(unpacked: Path, uids: Path) -> None:
    @alone
    def body() -> None:
        private_namespaces.mount("tmpfs", Path("/run"), "tmpfs", 0, "mode=755")
        root = Path("/run/pods")
        with cri.containerd(root, unpacked) as runtime:
            dead = runtime.run_pod("web-1", "shop", [*PROGRAM, f"{EXHAUSTED}\n{WAIT}", "container"], RANGE)
            uids.write_text(dead.uid)
            well = runtime.run_pod("db-0", "shop", [*PROGRAM, WAIT], {})
            uids.write_text(f"{dead.uid} {well.uid}")
            for pod in (dead, well):
                cri.wait_until(lambda pod=pod: pod.log.exists() and "ready" in pod.log.read_text(), pod.log)
            usage = observe(namespaces=["all"])
            worst, *others = usage["namespaces"]
            owner = {"kind": "pod", "name": "shop/web-1", "id": dead.uid, "container": None}
            assert worst["namespace"]["owner"] == owner
            assert (usage["level"], usage["own_level"], worst["port_range"]["usable"]) == ("exhausted", "ok", 100)
            assert describe(usage)[0].startswith("EXHAUSTED in pod shop/web-1: no local port is left")
            (who,) = worst["pools"][0]["live_by"]
            assert (who["owner"], who["live"]) == ("pod shop/web-1 (app)", 100)
            assert who["program"] == Path(os.path.realpath(sys.executable)).name
            assert [(one["namespace"]["owner"]["name"], one["level"]) for one in others] == [("shop/db-0", "ok")]
            for name in ("shop/web-1", dead.uid):
                assert observe(namespaces=[name])["namespaces"][0]["level"] == "exhausted"
            code, text = in_child(as_nobody)
            assert not code, text

    body()


def as_nobody() -> None:
    """Names are not told either, as files of containerd are root's; but nothing is called well."""
    become_nobody()
    usage = observe(namespaces=["all"])
    assert (usage["level"], usage["own_level"], usage["namespaces_observed"]) == ("unknown", "ok", 2)
    assert {one["level"] for one in usage["namespaces"]} == {"unknown"}
    assert {one["namespace"]["owner"]["kind"] for one in usage["namespaces"]} == {"pod"}
    assert max(one["blocked_at_most"] for one in usage["namespaces"]) >= 200
    assert {"what": "namespaces", "number": 2, "why": "not_allowed"} in usage["not_observed"]

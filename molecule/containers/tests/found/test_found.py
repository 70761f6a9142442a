# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the host, the one container without ports has a name, and so has the program in it."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

ENGINE, RUN = os.environ["CONTAINER_ENGINE"], os.environ["MOLECULE_RUN"]
SHOP = f"{ENGINE} shop-{RUN}"
TOWARDS = ("127.0.0.1", 8080)


def test_one_of_several_is_exhausted(machine: dict[str, Any], containers: dict[str, dict[str, Any]]) -> None:
    assert machine["level"] == "exhausted"
    levels = {name: one["level"] for name, one in containers.items()}
    assert levels == {f"db-{RUN}": "ok", f"shop-{RUN}": "exhausted", f"web-{RUN}": "ok"}
    assert {one["namespace"]["owner"]["kind"] for one in containers.values()} == {ENGINE}


def test_the_kernel_says_so(shop: dict[str, Any]) -> None:
    pool = shop["pools"][0]
    assert (pool["address"], pool["port"], pool["usable"], pool["probe"]["errno"]) == (*TOWARDS, 100, 99)


def test_the_program_that_has_the_live_connections(shop: dict[str, Any]) -> None:
    (who,) = shop["pools"][0]["live_by"]
    assert (who["owner"], who["program"], who["live"]) == (SHOP, "shop", 5)


def test_the_program_that_fails(machine: dict[str, Any], shop: dict[str, Any]) -> None:
    assert machine["users"]["traced"], machine["users"]["why_not"]
    (user,) = [one for one in machine["users"]["users"] if one["owner"] == SHOP]
    assert (user["program"], user["namespace"]) == ("shop", shop["namespace"]["inode"])
    assert (user["address"], user["port"]) == TOWARDS
    assert user["no_port"] > 0


def test_the_report_says_it_beside_the_destination() -> None:
    report = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "report/found/report.csv")
    with report.open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["namespace"] == SHOP]
    assert row["users"].startswith(f"shop of {SHOP}, ")
    assert row["users"].endswith(" failed")
    assert row["live_by"].startswith(f"5 live of shop of {SHOP} (pid ")

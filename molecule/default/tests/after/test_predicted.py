# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: the range is wide, and check mode had told the truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_the_range_is_wide(values: dict[str, str]) -> None:
    low, high = map(int, values["ip_local_port_range"].split())
    assert high - low + 1 >= 50_000


def test_check_mode_had_told_the_truth(host: Host, values: dict[str, str]) -> None:
    prediction = json.loads(host.file("/root/prediction.json").content_string)
    wanted = {setting["key"].removeprefix("net.ipv4."): setting["wanted"].split() for setting in prediction["settings"]}
    assert wanted == {key: values[key].split() for key in wanted}

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""With on_conflict=warn: applied, with a warning that names the other file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_the_range_is_wide_for_now(values: dict[str, str]) -> None:
    assert values["ip_local_port_range"] == "10240 65535"


def test_the_warning_names_the_other_file(host: Host) -> None:
    assert "/etc/sysctl.d/zzz-tuning.conf" in host.file("/root/warnings.json").content_string
    assert json.loads(host.file("/root/warnings.json").content_string)

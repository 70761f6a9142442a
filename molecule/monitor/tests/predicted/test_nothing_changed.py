# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


PATHS = [
    "/usr/local/bin/ephemeral-ports",
    "/etc/systemd/system/ephemeral-ports.timer",
    "/var/lib/prometheus/node-exporter/ephemeral_ports.prom",
]


@pytest.mark.parametrize("path", PATHS)
def test_check_mode_has_installed_nothing(host: Host, path: str) -> None:
    assert not host.file(path).exists

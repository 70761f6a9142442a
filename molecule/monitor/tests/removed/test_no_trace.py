# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_nothing_is_left(host: Host) -> None:
    assert (
        host.run("find / -xdev -name '*ephemeral[-_]ports*' -not -path '/proc/*' -not -path '/root/.ansible/*'").stdout
        == ""
    )
    assert host.file("/var/lib/prometheus/node-exporter").listdir() == []
    assert "ephemeral-ports" not in host.run("systemctl list-units --all --no-pager").stdout

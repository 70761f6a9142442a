# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long lists of ports, as the real loaders of Debian 11 to 13 write them; test_random_hosts.py has all other files."""

from __future__ import annotations

from pathlib import Path

import pytest

from .inside import private
from .real_release import VERSIONS, Release


@pytest.mark.parametrize("name", VERSIONS)
@private
def test_long_reserved_lists_are_cut_where_they_really_are(name: str, debian: Path) -> None:
    """The first entries shift all others, byte by byte, over the end of the page."""
    release = Release(debian / name)
    file = Path("/etc/sysctl.d/a.conf")
    file.parent.mkdir()
    for span in (0, 1):
        ports = [f"{port}-{port + span}" if span else f"{port}" for port in range(10001, 50000, 3)]
        for shift in range(2, 14):
            first = ["22"] * (shift % 2) + ["1"] * ((shift - shift % 2 * 3) // 2)
            entries = ",".join(first + ports)
            for length in (4094, 4095, 4096, 4108, 9000):
                value = entries[: entries.rindex(",", 0, length + 1)]
                file.write_text(f"net.ipv4.ip_local_reserved_ports = {value}\n")
                assert not release.differences()

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that says what is wrong, and a host as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_the_message_says_what_cannot_be_written(host: Host) -> None:
    why_not = host.file("/root/why_not").content_string
    assert "read-only" in why_not.lower()
    assert "net.ipv4." in why_not


def test_nothing_was_changed(witness: list[str], witness_before: list[str]) -> None:
    assert witness == witness_before
    assert not any("ephemeral" in line for line in witness)

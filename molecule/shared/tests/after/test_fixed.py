# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: the same load passes, and file and running kernel say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

DROPIN = "/etc/sysctl.d/99-zz-ephemeral-ports.conf"


def test_not_one_connection_fails(stress: dict[str, Any]) -> None:
    assert stress["attempted"] == stress["succeeded"] == 1200
    assert stress["errors"] == []


def test_the_running_kernel_has_the_fix(values: dict[str, str]) -> None:
    assert values["tcp_tw_reuse"] == "1"
    assert values["tcp_timestamps"] == "1"


def test_the_drop_in_says_what_the_kernel_does(host: Host, values: dict[str, str]) -> None:
    dropin = host.file(DROPIN)
    assert (dropin.user, dropin.group, dropin.mode) == ("root", "root", 0o644)
    lines = (line.split("=", 1) for line in dropin.content_string.splitlines() if line and line[0] not in "#;")
    settings = {key.strip().removeprefix("net.ipv4."): " ".join(value.split()) for key, value in lines}
    assert "tcp_tw_reuse" in settings
    assert settings == {key: values[key] for key in settings}


def test_no_other_sysctl_file_was_touched(witness: list[str], witness_before: list[str]) -> None:
    def files(lines: list[str]) -> set[str]:
        ours = (DROPIN, "/var/lib/", "/proc/sys/")
        return {line for line in lines if not any(path in line for path in ours)}

    assert files(witness) == files(witness_before)

# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the controller was killed in the soak: the first host of the wave is changed, and knows that it is on trial."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host


def test_one_more_host_is_changed(
    name: str, witness: list[str], witness_before: list[str], present: tuple[str, str], fixed: tuple[str, str]
) -> None:
    changed = name in ("fleet01", "fleet02", "fleet11")
    assert (witness == witness_before) is not changed
    assert (present == fixed) is (changed or name == "fleet07")


def test_that_host_remembers_that_it_was_not_judged(host: Host, name: str) -> None:
    journals = host.run("cat /var/lib/netops.ephemeral_ports/*.json")
    assert (journals.rc == 0) is (name in ("fleet01", "fleet02", "fleet11"))
    if journals.rc == 0:
        assert (json.loads(journals.stdout)["trial"] is not None) is (name == "fleet02")

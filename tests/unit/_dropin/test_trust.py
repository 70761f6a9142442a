# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a user namespace, and when; what others may own is tested where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import trust

UNREADABLE = "/proc/self/mem"  # its first page: EIO, which names no file


@pytest.mark.parametrize("which", ["_OVERFLOW_UID", "_UID_MAP"])
def test_what_cannot_be_read_is_named_and_no_owner_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(trust, which, UNREADABLE)
    monkeypatch.setattr(trust, "_trusted_owners", frozenset)
    with pytest.raises(OSError, match=f"Input/output error: '{UNREADABLE}'"):
        trust.check_state_directory(str(tmp_path / "state"))


def test_where_owners_are_trusted_nothing_is_read_of_a_user_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_OVERFLOW_UID", UNREADABLE)
    owners = frozenset(above.stat().st_uid for above in tmp_path.parents)
    monkeypatch.setattr(trust, "_trusted_owners", lambda: owners)
    trust.check_state_directory(str(tmp_path / "state"))
